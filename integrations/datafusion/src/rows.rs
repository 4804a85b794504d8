//! From columns to the slices that the kernel takes.

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use datafusion_common::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion_common::arrow::buffer::NullBuffer;
use datafusion_common::arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion_common::{DataFusionError, Result, plan_err};
use fractional_logit::Value;

/// A column type that the kernel computes in.
pub(crate) trait Floating: ArrowPrimitiveType<Native: Value> + Debug + Send + Sync {}
impl Floating for Float32Type {}
impl Floating for Float64Type {}

/// The arguments' types as the kernel takes them: one for all.
pub(crate) fn coerced(
    function: &str,
    counts: RangeInclusive<usize>,
    arguments: &[DataType],
) -> Result<Vec<DataType>> {
    if !counts.contains(&arguments.len()) {
        let (least, most) = counts.into_inner();
        return plan_err!(
            "{function} takes {least} to {most} arguments, not {}",
            arguments.len()
        );
    }
    if let Some(other) = arguments
        .iter()
        .find(|argument| !argument.is_numeric() && !argument.is_null())
    {
        return plan_err!("{function} takes numbers, not {other}");
    }
    let single = |argument: &DataType| matches!(argument, DataType::Float16 | DataType::Float32);
    let computed = if arguments.iter().all(single) {
        DataType::Float32
    } else {
        DataType::Float64
    };
    Ok(vec![computed; arguments.len()])
}

/// The rows of a batch that count: those that pass the filter and have no NULL.
pub(crate) struct Rows<'a, A: Floating> {
    pub(crate) columns: Vec<Cow<'a, [A::Native]>>,
    /// Which rows count, where some do not.
    pub(crate) valid: Option<NullBuffer>,
    kept: Vec<usize>,
    batch: usize,
}

impl<'a, A: Floating> Rows<'a, A> {
    pub(crate) fn select(arrays: &'a [ArrayRef], filter: Option<&BooleanArray>) -> Self {
        let passed = filter.map(|filter| {
            let passed = filter.nulls().map(|known| filter.values() & known.inner());
            NullBuffer::new(passed.unwrap_or_else(|| filter.values().clone()))
        });
        let valid = arrays.iter().fold(passed, |valid, array| {
            NullBuffer::union(valid.as_ref(), array.logical_nulls().as_ref())
        });
        let valid = valid.filter(|valid| valid.null_count() > 0);
        let kept: Vec<usize> = valid.iter().flat_map(NullBuffer::valid_indices).collect();
        let column = |array: &'a ArrayRef| {
            let values: &[A::Native] = array.as_primitive::<A>().values();
            match valid {
                None => Cow::Borrowed(values),
                Some(_) => kept.iter().map(|&row| values[row]).collect(),
            }
        };
        Self {
            columns: arrays.iter().map(column).collect(),
            batch: arrays.first().map_or(0, |array| array.len()),
            valid,
            kept,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }

    /// The row of the batch that is the `index`-th here.
    pub(crate) fn row(&self, index: usize) -> usize {
        match self.valid {
            None => index,
            Some(_) => self.kept.get(index).copied().unwrap_or(index),
        }
    }

    /// The kernel's error, with the row of the batch as its index.
    pub(crate) fn refused(&self, function: &str, error: soft_bce::Error) -> DataFusionError {
        use soft_bce::Error::{InvalidWeight, TargetOutOfRange};
        let error = match error {
            TargetOutOfRange { index, value } => TargetOutOfRange {
                index: self.row(index),
                value,
            },
            InvalidWeight { index, value } => InvalidWeight {
                index: self.row(index),
                value,
            },
            other => other,
        };
        self.context(function, DataFusionError::External(Box::new(error)))
    }

    pub(crate) fn context(&self, function: &str, error: DataFusionError) -> DataFusionError {
        error.context(format!("{function} of a batch of {} rows", self.batch))
    }
}
