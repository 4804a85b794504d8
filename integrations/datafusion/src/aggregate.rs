//! Aggregates whose states are exact sums.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion_common::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array,
};
use datafusion_common::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion_common::{DataFusionError, Result, ScalarValue, not_impl_err, plan_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use soft_bce::{Bce, LossSum};

use crate::rows::{Floating, Rows, coerced};

/// The aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// [`soft_bce::Bce::sum`]
    BceSum,
    /// [`soft_bce::Bce::mean`]
    BceMean,
    /// [`soft_bce::LossSum`] of any numbers
    ExactSum,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BceSum, Self::BceMean, Self::ExactSum];

    /// What `AggregateUDF::from` takes.
    #[must_use]
    pub fn into_udf(self) -> impl AggregateUDFImpl + 'static {
        AggregateFunction {
            aggregate: self,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::BceSum => "bce_sum",
            Self::BceMean => "bce_mean",
            Self::ExactSum => "exact_sum",
        }
    }

    /// Whether the weights are summed as well.
    fn wants_total(self, arguments: usize) -> bool {
        self == Self::BceMean && arguments == 3
    }
}

/// The losses' kernel, with the weights if there are any.
fn bce<'w, A: Floating>(columns: &'w [Cow<'_, [A::Native]>]) -> Bce<'w, A::Native> {
    match columns {
        [_, _, weights] => Bce::new().weights(weights),
        _ => Bce::new(),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AggregateFunction {
    aggregate: Aggregate,
    signature: Signature,
}

impl AggregateFunction {
    fn refuse_distinct(&self, args: &AccumulatorArgs<'_>) -> Result<()> {
        if args.is_distinct {
            return not_impl_err!("{} of DISTINCT rows", self.name());
        }
        Ok(())
    }
}

fn is_single(args: &AccumulatorArgs<'_>) -> bool {
    let first = args.expr_fields.first();
    first.is_some_and(|field| *field.data_type() == DataType::Float32)
}

impl AggregateUDFImpl for AggregateFunction {
    fn name(&self) -> &str {
        self.aggregate.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{
            Float16, Float32, Float64, Int8, Int16, Int32, Null, UInt8, UInt16, UInt32,
        };
        if self.aggregate != Aggregate::ExactSum {
            return coerced(self.name(), 2..=3, arguments);
        }
        match arguments {
            [
                Null | Float16 | Float32 | Float64 | Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32,
            ]
            | []
            | [_, _, ..] => coerced(self.name(), 1..=1, arguments),
            [other] => plan_err!(
                "exact_sum of {other}, which DOUBLE cannot hold exactly: SUM is exact, or CAST it"
            ),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part| {
            let name = format_state_name(args.name, part);
            Arc::new(Field::new(name, DataType::Binary, true))
        };
        let total = self.aggregate.wants_total(args.input_fields.len());
        Ok(["sum"]
            .into_iter()
            .chain(total.then_some("total_weight"))
            .map(field)
            .collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.refuse_distinct(&args)?;
        let state = State::new(self.aggregate, args.expr_fields.len());
        Ok(if is_single(&args) {
            Box::new(Single::<Float32Type>::new(state))
        } else {
            Box::new(Single::<Float64Type>::new(state))
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.refuse_distinct(&args)?;
        let state = State::new(self.aggregate, args.expr_fields.len());
        Ok(if is_single(&args) {
            Box::new(Groups::<Float32Type>::new(state))
        } else {
            Box::new(Groups::<Float64Type>::new(state))
        })
    }
}

/// What one group has summed.
#[derive(Clone, Debug)]
struct State {
    aggregate: Aggregate,
    sum: LossSum,
    /// Of the weights, where a mean is weighted.
    total: Option<LossSum>,
}

impl State {
    fn new(aggregate: Aggregate, arguments: usize) -> Self {
        Self {
            aggregate,
            sum: LossSum::new(),
            total: aggregate.wants_total(arguments).then(LossSum::new),
        }
    }

    fn evaluate(&self) -> Option<f64> {
        if self.sum.count() == 0 {
            return None;
        }
        if self.aggregate != Aggregate::BceMean {
            return Some(self.sum.to_f64());
        }
        let total = self.total.clone().unwrap_or_else(|| {
            let mut count = LossSum::new();
            count.add(self.sum.count() as f64);
            count
        });
        (total.to_f64() > 0.0).then(|| self.sum.divided_by(&total))
    }

    fn parts(&self) -> impl Iterator<Item = &LossSum> {
        [&self.sum].into_iter().chain(&self.total)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut LossSum> {
        [&mut self.sum].into_iter().chain(&mut self.total)
    }

    /// Adds the states in a row of the columns; NULL is that of nothing.
    fn merge(&mut self, columns: &[&BinaryArray], row: usize) -> Result<()> {
        for (part, column) in self.parts_mut().zip(columns) {
            if column.is_valid(row) {
                let other = LossSum::from_bytes(column.value(row)).map_err(external)?;
                part.merge(&other);
            }
        }
        Ok(())
    }
}

fn external(error: soft_bce::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

pub(crate) fn binary(columns: &[ArrayRef]) -> Result<Vec<&BinaryArray>> {
    let mismatch = || DataFusionError::Internal("the state of a sum is not BINARY".into());
    columns
        .iter()
        .map(|column| column.as_binary_opt::<i32>().ok_or_else(mismatch))
        .collect()
}

/// One group.
#[derive(Debug)]
struct Single<A> {
    state: State,
    floating: std::marker::PhantomData<A>,
}

impl<A> Single<A> {
    fn new(state: State) -> Self {
        Self {
            state,
            floating: std::marker::PhantomData,
        }
    }
}

impl<A: Floating> Accumulator for Single<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = Rows::<A>::select(values, None);
        let State {
            aggregate,
            sum,
            total,
        } = &mut self.state;
        match &*rows.columns {
            [x] => sum.add_slice(x),
            [z, t, ..] => bce::<A>(&rows.columns)
                .accumulate(z, t, sum)
                .map_err(|error| rows.refused(aggregate.name(), error))?,
            [] => {}
        }
        if let (Some(total), [_, _, weights]) = (total, &*rows.columns) {
            total.add_slice(weights);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.state.evaluate()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bytes = |part: &LossSum| ScalarValue::Binary(Some(part.to_bytes().to_vec()));
        Ok(self.state.parts().map(bytes).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let columns = binary(states)?;
        let count = columns.first().map_or(0, |column| column.len());
        (0..count).try_for_each(|row| self.state.merge(&columns, row))
    }
}

/// All groups of a GROUP BY.
struct Groups<A: Floating> {
    empty: State,
    states: Vec<State>,
    losses: Vec<A::Native>,
}

impl<A: Floating> Groups<A> {
    fn new(empty: State) -> Self {
        Self {
            empty,
            states: Vec::new(),
            losses: Vec::new(),
        }
    }

    fn columns(&self, states: &[Option<State>]) -> Vec<ArrayRef> {
        let parts = self.empty.parts().count();
        let column = |part| -> ArrayRef {
            let bytes = |state: &Option<State>| {
                let sum = state.as_ref()?.parts().nth(part)?;
                Some(sum.to_bytes())
            };
            Arc::new(states.iter().map(bytes).collect::<BinaryArray>())
        };
        (0..parts).map(column).collect()
    }
}

/// Calls `add` with each row that counts: its number, its loss and its weight.
fn each_loss<A: Floating>(
    aggregate: Aggregate,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
    losses: &mut Vec<A::Native>,
    mut add: impl FnMut(usize, f64, f64),
) -> Result<()> {
    let rows = Rows::<A>::select(values, filter);
    let (values, weights) = match &*rows.columns {
        [x] => (&**x, None),
        [z, t, weights @ ..] => {
            losses.resize(rows.len(), A::default_value());
            bce::<A>(&rows.columns)
                .loss(z, t, losses)
                .map_err(|error| rows.refused(aggregate.name(), error))?;
            (&**losses, weights.first())
        }
        [] => (&[][..], None),
    };
    for (index, &value) in values.iter().enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[index].into());
        add(rows.row(index), value.into(), weight);
    }
    Ok(())
}

impl State {
    fn add(&mut self, loss: f64, weight: f64) {
        self.sum.add(loss);
        if let Some(total) = &mut self.total {
            total.add(weight);
        }
    }
}

impl<A: Floating> GroupsAccumulator for Groups<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let Self {
            empty,
            states,
            losses,
        } = self;
        states.resize(total_num_groups, empty.clone());
        each_loss::<A>(
            empty.aggregate,
            values,
            opt_filter,
            losses,
            |row, loss, weight| states[group_indices[row]].add(loss, weight),
        )
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        let values: Float64Array = states.iter().map(State::evaluate).collect();
        Ok(Arc::new(values))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = emit_to.take_needed(&mut self.states);
        let states: Vec<_> = states.into_iter().map(Some).collect();
        Ok(self.columns(&states))
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.states.resize(total_num_groups, self.empty.clone());
        let columns = binary(values)?;
        for (row, &group) in group_indices.iter().enumerate() {
            self.states[group].merge(&columns, row)?;
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let count = values.first().map_or(0, |column| column.len());
        let mut states = vec![None; count];
        each_loss::<A>(
            self.empty.aggregate,
            values,
            opt_filter,
            &mut Vec::new(),
            |row, loss, weight| {
                let mut state = self.empty.clone();
                state.add(loss, weight);
                states[row] = Some(state);
            },
        )?;
        Ok(self.columns(&states))
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.states.capacity() * size_of::<State>()
            + self.losses.capacity() * size_of::<A::Native>()
    }
}
