//! Functions of a row.

use std::sync::Arc;

use datafusion_common::arrow::array::{ArrayRef, PrimitiveArray};
use datafusion_common::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use soft_bce::Bce;

use crate::rows::{Floating, Rows, coerced};

/// The functions of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// [`soft_bce::sigmoid`]
    Sigmoid,
    /// [`soft_bce::log_sigmoid`]
    LogSigmoid,
    /// [`soft_bce::logit()`]
    Logit,
    /// [`soft_bce::Bce::loss`]
    BceLoss,
}

impl Scalar {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sigmoid, Self::LogSigmoid, Self::Logit, Self::BceLoss];

    /// What `ScalarUDF::from` takes.
    #[must_use]
    pub fn into_udf(self) -> impl ScalarUDFImpl + 'static {
        ScalarFunction {
            function: self,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::LogSigmoid => "log_sigmoid",
            Self::Logit => "logit",
            Self::BceLoss => "bce_loss",
        }
    }

    fn apply<A: Floating>(self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = Rows::<A>::select(arrays, None);
        let mut values = vec![A::default_value(); rows.len()];
        match (self, &*rows.columns) {
            (Self::Sigmoid, [z]) => soft_bce::sigmoid(z, &mut values),
            (Self::LogSigmoid, [z]) => soft_bce::log_sigmoid(z, &mut values),
            (Self::Logit, [p]) => soft_bce::logit(p, &mut values),
            (_, [z, t, w]) => Bce::new().weights(w).loss(z, t, &mut values),
            (_, [z, t]) => Bce::new().loss(z, t, &mut values),
            _ => Ok(()), // never: the numbers of arguments are checked
        }
        .map_err(|error| rows.refused(self.name(), error))?;
        if let Some(valid) = &rows.valid {
            let mut all = vec![A::default_value(); valid.len()];
            for (index, value) in values.into_iter().enumerate() {
                all[rows.row(index)] = value;
            }
            values = all;
        }
        let values = PrimitiveArray::<A>::new(values.into(), rows.valid);
        Ok(Arc::new(values))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ScalarFunction {
    function: Scalar,
    signature: Signature,
}

impl ScalarUDFImpl for ScalarFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let counts = match self.function {
            Scalar::BceLoss => 2..=3,
            _ => 1..=1,
        };
        coerced(self.name(), counts, arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Float64))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
        let constant = args.args.iter().all(constant);
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values = match args.return_type() {
            DataType::Float32 => self.function.apply::<Float32Type>(&arrays),
            _ => self.function.apply::<Float64Type>(&arrays),
        }?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
        } else {
            ColumnarValue::Array(values)
        })
    }
}
