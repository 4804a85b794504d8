//! The state of a fit as an aggregate: what the rows contribute to a pass of `fractional_logit`.

use std::marker::PhantomData;
use std::sync::Arc;
use std::{fmt, iter};

use datafusion_common::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray};
use datafusion_common::arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type};
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err, not_impl_err, plan_err};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility, lit,
};
use fractional_logit::{Data, Error, Features, State, Task};

use crate::aggregate::binary;
use crate::rows::{Floating, Rows, coerced};

const NAME: &str = "fractional_logit_state";

/// `fractional_logit_state(task, target, weight, x1, …, xk)`: the [`State`] that the rows contribute to
/// a [`Task`], both as bytes. `NULL` in the place of the weight: none is given.
///
/// A [`Solver`](fractional_logit::Solver) says what to ask next, and takes the state:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use datafusion::arrow::array::AsArray;
/// use datafusion::prelude::{SessionContext, col};
/// use fractional_logit::{Model, State, Step};
/// use soft_bce_datafusion::{call_of, fractional_logit_state};
///
/// let context = SessionContext::new();
/// let rows = "SELECT * FROM (VALUES (0.2, 1.0), (0.4, 2.0), (0.3, 3.0), (0.6, 4.0), (0.9, 5.0)) AS v(t, x)";
/// let rows = context.sql(rows).await?;
/// let mut solver = Model::new().solver(1)?;
/// let fit = loop {
///     let call = call_of(solver.task(), col("t"), None, vec![col("x")])?;
///     let batches = rows.clone().aggregate(vec![], vec![call])?.collect().await?;
///     let states = batches[0].column(0).as_binary::<i32>();
///     if let Step::Done(fit) = solver.step(&State::from_bytes(states.value(0))?)? {
///         break fit;
///     }
/// };
/// assert!((fit.coefficients()[1] - 0.8).abs() < 0.1);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn fractional_logit_state() -> AggregateUDF {
    AggregateUDF::from(FitState {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// A call of [`fractional_logit_state`] with this task, for the rows of a `DataFrame`.
///
/// # Errors
/// Where the task has no bytes: none is known of.
pub fn call_of(
    task: &Task,
    target: Expr,
    weight: Option<Expr>,
    features: Vec<Expr>,
) -> Result<Expr> {
    let bytes = ScalarValue::Binary(Some(task.to_bytes().map_err(external)?));
    let weight = weight.unwrap_or_else(|| lit(ScalarValue::Null));
    let mut arguments = vec![lit(bytes), target, weight];
    arguments.extend(features);
    Ok(fractional_logit_state().call(arguments))
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FitState {
    signature: Signature,
}

impl AggregateUDFImpl for FitState {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Binary, BinaryView, Dictionary, LargeBinary, Null};
        let (task, rows) = match arguments {
            [task, rows @ ..] if rows.len() >= 2 => (task, rows),
            _ => return plan_err!("{NAME} takes a task, a target, a weight and features"),
        };
        let is_bytes = |kind: &DataType| matches!(kind, Binary | BinaryView | LargeBinary | Null);
        if !(is_bytes(task) || matches!(task, Dictionary(_, of) if is_bytes(of))) {
            return plan_err!("{NAME} takes the bytes of a task, not {task}");
        }
        // A constant becomes a column before it comes here: as a dictionary it is there once.
        let mut types = vec![Dictionary(Box::new(DataType::Int32), Box::new(Binary))];
        if rows[1].is_null() {
            let mut others = rows.to_vec();
            others.remove(1);
            types.extend(coerced(NAME, 1..=usize::MAX, &others)?);
            types.insert(2, Null);
        } else {
            types.extend(coerced(NAME, 2..=usize::MAX, rows)?);
        }
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{NAME} of DISTINCT rows");
        }
        let target = args.expr_fields.get(1).map(|field| field.data_type());
        Ok(match target {
            Some(DataType::Float32) => Box::<Pass<Float32Type>>::default(),
            _ => Box::<Pass<Float64Type>>::default(),
        })
    }
}

/// What a group has contributed so far.
struct Pass<A> {
    /// With its bytes.
    task: Option<(Vec<u8>, Task)>,
    state: Option<State>,
    floating: PhantomData<A>,
}

impl<A> Default for Pass<A> {
    fn default() -> Self {
        Self {
            task: None,
            state: None,
            floating: PhantomData,
        }
    }
}

impl<A> fmt::Debug for Pass<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(NAME).field("task", &self.task).finish()
    }
}

impl<A> Pass<A> {
    fn bytes(&self) -> ScalarValue {
        ScalarValue::Binary(self.state.as_ref().map(State::to_bytes))
    }

    fn add(&mut self, state: State) -> Result<()> {
        match &mut self.state {
            Some(sum) => sum.merge(&state).map_err(external)?,
            None => self.state = Some(state),
        }
        Ok(())
    }

    fn task(&mut self, bytes: &[u8]) -> Result<&Task> {
        let task = match self.task.take() {
            Some((known, _)) if known != bytes => return several(),
            Some((_, task)) => task,
            None => Task::from_bytes(bytes).map_err(external)?,
        };
        Ok(&self.task.insert((bytes.to_vec(), task)).1)
    }
}

fn several<T>() -> Result<T> {
    exec_err!("{NAME} of rows with different tasks: one for a group")
}

/// The task of the rows of the batch, which has to be one.
fn only(
    tasks: &DictionaryArray<Int32Type>,
    mut rows: impl Iterator<Item = usize>,
) -> Result<&[u8]> {
    let of_keys = tasks.values().as_binary::<i32>();
    let key = |row| tasks.keys().value(row);
    let task = |key: i32| of_keys.value(key as usize);
    let first = rows.next().map_or(0, key);
    if rows
        .map(key)
        .all(|key| key == first || task(key) == task(first))
    {
        return Ok(task(first));
    }
    several()
}

impl<A: Floating> Accumulator for Pass<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [tasks, target, weight, features @ ..] = values else {
            return Ok(()); // never: the arguments are checked
        };
        let weighted = !weight.data_type().is_null();
        let weight = weighted.then_some(weight);
        let columns = iter::once(target).chain(weight).chain(features);
        let columns: Vec<ArrayRef> = columns.map(Arc::clone).collect();
        let known = tasks.logical_nulls();
        let known = known.map(|known| BooleanArray::new(known.into_inner(), None));
        let rows = Rows::<A>::select(&columns, known.as_ref());
        let ([target, others @ ..], 1..) = (&*rows.columns, rows.len()) else {
            return Ok(());
        };
        let (weight, features) = others.split_at(weighted.into());
        let numbers = (0..rows.len()).map(|index| rows.row(index));
        let task = self.task(only(tasks.as_dictionary(), numbers)?)?;
        let features: Vec<&[A::Native]> = features.iter().map(|column| &**column).collect();
        let state = Features::columns(&features, rows.len())
            .map_err(Error::from)
            .and_then(|features| {
                let data = Data::new(features, target);
                task.evaluate(&match weight {
                    [weight] => data.weights(weight),
                    _ => data,
                })
            })
            .map_err(|error| match error {
                Error::Value {
                    of,
                    row,
                    value,
                    expected,
                } => Error::Value {
                    of,
                    row: rows.row(row as usize) as u64,
                    value,
                    expected,
                },
                other => other,
            })
            .map_err(|error| rows.context(NAME, external(error)))?;
        self.add(state)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.bytes())
    }

    fn size(&self) -> usize {
        let bytes = |task: &(Vec<u8>, Task)| 2 * task.0.capacity();
        size_of_val(self)
            + self.task.as_ref().map_or(0, bytes)
            + self
                .state
                .as_ref()
                .map_or(0, |state| state.to_bytes().len())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.bytes()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for column in binary(states)? {
            for bytes in column.iter().flatten() {
                self.add(State::from_bytes(bytes).map_err(external)?)?;
            }
        }
        Ok(())
    }
}
