//! The functions of the linear head in C.

use arbitrary::Arbitrary;
use soft_bce::Error;
use soft_bce::linear::{
    ColumnScale, ColumnSum as State, Factor, Features, Head, gram_length, scan,
};
use soft_bce_fuzz::capi::linear::{
    ColumnSum, Linear, soft_bce_column_sum_rows, soft_bce_column_sums_merge,
    soft_bce_column_sums_start, soft_bce_column_sums_start_gram, soft_bce_column_sums_values,
    soft_bce_linear_scratch,
};
use soft_bce_fuzz::capi::{self, LossSum, OptionsF32, OptionsF64, Status};
use soft_bce_fuzz::{Number, Options, Placed, Settings, Target, Weight, bits};
use std::ptr;

use super::{Chosen, Fault, Interface, NO_INDEX, SEVEN, misaligned, status_of};

#[derive(Arbitrary, Debug, Clone, Copy, PartialEq)]
enum Operation {
    Scan,
    Logits,
    Predict,
    FactorScale,
    HessianVectorScale,
    SumGradient,
    ColumnSums,
    HessianVector,
    Gram,
    SumGradientGram,
    Start,
    StartGram,
    Merge,
    Values,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Problem {
    operation: Operation,
    /// 4: none that there is.
    factor: u8,
    rows: u8,
    columns: u8,
    columnar: bool,
    gap: u8,
    /// Whether features and all else are as drawn, or brought into [-1, 1].
    wild: bool,
    numbers: Vec<Number>,
    targets: Vec<Target>,
    weights: Vec<Weight>,
    intercept: Option<Number>,
    offset: bool,
    groups: Option<(u8, u8)>,
    /// Instead of those of the features.
    scales: Option<Vec<i16>>,
    /// How much the scales of sums are above those that are asked for.
    lifts: [i8; 2],
    /// Bits of sums that are flipped.
    damage: Vec<(u16, u8)>,
    loss_damage: Option<(u16, u8)>,
    scratch: u8,
    options: Option<(Settings, u8, u8)>,
    want: [bool; 2],
    fault: Option<Fault>,
}

type Index = *mut usize;

/// The functions of one element type.
pub(crate) struct Functions<T, O> {
    scan: unsafe extern "C" fn(*const Linear<T, O>, *mut i32, Index) -> Status,
    logits: unsafe extern "C" fn(*const Linear<T, O>, *mut T, Index) -> Status,
    predict: unsafe extern "C" fn(*const Linear<T, O>, *mut T, Index) -> Status,
    factor_scale: unsafe extern "C" fn(*const Linear<T, O>, u32, *mut i32, Index) -> Status,
    hessian_vector_scale:
        unsafe extern "C" fn(*const Linear<T, O>, *const i32, *const T, *mut i32, Index) -> Status,
    sum_gradient:
        unsafe extern "C" fn(*const Linear<T, O>, *mut LossSum, *mut ColumnSum, Index) -> Status,
    column_sums: unsafe extern "C" fn(*const Linear<T, O>, u32, *mut ColumnSum, Index) -> Status,
    hessian_vector:
        unsafe extern "C" fn(*const Linear<T, O>, *const T, *mut ColumnSum, Index) -> Status,
    gram: unsafe extern "C" fn(*const Linear<T, O>, u32, *mut ColumnSum, Index) -> Status,
    sum_gradient_gram: unsafe extern "C" fn(
        *const Linear<T, O>,
        u32,
        *mut LossSum,
        *mut ColumnSum,
        *mut ColumnSum,
        Index,
    ) -> Status,
}

pub(crate) trait Heads: Interface {
    const FUNCTIONS: Functions<Self, Self::Options>;
}

macro_rules! heads {
    ($real:ident, $options:ident, $($field:ident $function:ident),*) => {
        impl Heads for $real {
            const FUNCTIONS: Functions<$real, $options> = Functions {
                $($field: capi::linear::$function),*
            };
        }
    };
}

heads!(
    f32, OptionsF32,
    scan soft_bce_linear_scan_f32,
    logits soft_bce_linear_logits_f32,
    predict soft_bce_linear_predict_f32,
    factor_scale soft_bce_linear_factor_scale_f32,
    hessian_vector_scale soft_bce_linear_hessian_vector_scale_f32,
    sum_gradient soft_bce_linear_sum_gradient_f32,
    column_sums soft_bce_linear_column_sums_f32,
    hessian_vector soft_bce_linear_hessian_vector_f32,
    gram soft_bce_linear_gram_f32,
    sum_gradient_gram soft_bce_linear_sum_gradient_gram_f32
);
heads!(
    f64, OptionsF64,
    scan soft_bce_linear_scan_f64,
    logits soft_bce_linear_logits_f64,
    predict soft_bce_linear_predict_f64,
    factor_scale soft_bce_linear_factor_scale_f64,
    hessian_vector_scale soft_bce_linear_hessian_vector_scale_f64,
    sum_gradient soft_bce_linear_sum_gradient_f64,
    column_sums soft_bce_linear_column_sums_f64,
    hessian_vector soft_bce_linear_hessian_vector_f64,
    gram soft_bce_linear_gram_f64,
    sum_gradient_gram soft_bce_linear_sum_gradient_gram_f64
);

/// What the call reads.
struct Given<F> {
    rows: usize,
    columns: usize,
    stride: usize,
    data: Placed<F>,
    each_column: Vec<Placed<F>>,
    coefficients: Placed<F>,
    direction: Placed<F>,
    intercept: Option<F>,
    offset: Placed<F>,
    t: Placed<F>,
    weights: Placed<F>,
    factors: Placed<F>,
    groups: Vec<u32>,
    group_count: usize,
    scales: Vec<i32>,
}

/// What it writes.
#[derive(Clone)]
struct Written<F> {
    z: Vec<F>,
    scales: Vec<i32>,
    scale: i32,
    loss: [u8; capi::SOFT_BCE_LOSS_SUM_BYTES],
    sums: Vec<[u8; State::BYTES]>,
    gram: Vec<[u8; State::BYTES]>,
    values: Vec<f64>,
    count: u64,
}

impl<F: Heads> PartialEq for Written<F> {
    fn eq(&self, other: &Self) -> bool {
        let states = |of: &Self| (of.scales.clone(), of.scale, of.loss, of.sums.clone());
        bits(&self.z) == bits(&other.z)
            && bits(&self.values) == bits(&other.values)
            && (self.gram == other.gram && self.count == other.count)
            && states(self) == states(other)
    }
}

fn parse(bytes: &[[u8; State::BYTES]]) -> Result<Vec<State>, Error> {
    bytes.iter().map(|bytes| State::from_bytes(bytes)).collect()
}

fn to_bytes(states: &[State]) -> Vec<[u8; State::BYTES]> {
    states.iter().map(State::to_bytes).collect()
}

fn scale_of(exponent: i32) -> Result<ColumnScale, Error> {
    let value = exponent.into();
    ColumnScale::from_exponent(exponent).ok_or(Error::ScaleOutOfRange { value })
}

impl Problem {
    fn is_grouped(&self) -> bool {
        let of_groups = [Operation::SumGradient, Operation::ColumnSums];
        self.groups.is_some() && of_groups.contains(&self.operation)
    }

    fn given<F: Heads>(&self) -> Given<F> {
        let (rows, columns) = (usize::from(self.rows % 80), usize::from(self.columns % 20));
        let stride = match self.gap {
            0..128 => 0,
            128..224 => columns + usize::from(self.gap % 8),
            // Perhaps too few.
            _ => usize::from(self.gap % 16),
        };
        let mut drawn = self.numbers.iter().cycle();
        let mut next = || {
            let value = drawn
                .next()
                .map_or(0.5, |number| number.value::<F>().to_f64());
            match self.wild {
                true => value,
                false if value.is_nan() => 0.25,
                false if value.is_infinite() => 1.0,
                false => value / (1.0 + value.abs()),
            }
        };
        let mut many =
            |count: usize| -> Vec<F> { (0..count).map(|_| F::from_f64(next())).collect() };
        let coefficients = many(columns);
        let direction = many(columns + usize::from(self.intercept.is_some()));
        let (offset, factors) = (many(rows), many(rows));
        let x = many(rows * columns);
        let step = if stride == 0 || columns == 0 {
            columns
        } else {
            stride
        };
        let length = match rows {
            0 => 0,
            _ => (rows - 1) * step + columns,
        };
        let mut data = vec![F::from_f64(f64::NAN); if columns > 0 { length } else { 0 }];
        for (row, x) in x.chunks(columns.max(1)).enumerate() {
            data[row * step..][..columns].copy_from_slice(x);
        }
        let of_column =
            |column: usize| -> Vec<F> { x.iter().skip(column).step_by(columns).copied().collect() };
        let each_column = |column| Placed::new(&of_column(column), column as u8);
        let mut targets = self.targets.iter().cycle();
        let mut weights = self.weights.iter().cycle();
        let zero = F::from_f64(0.0);
        let half = F::from_f64(0.5);
        let (group_count, seed) = self.groups.unwrap_or((0, 0));
        let group_count = usize::from(group_count % 5);
        // Rarely one that there is not.
        let group = |row: usize| {
            let group = row / (1 + usize::from(seed % 16)) % group_count.max(1);
            group + usize::from(seed > 240 && row + 1 == rows)
        };
        let mut scales: Vec<i32> = match &self.scales {
            Some(scales) => scales.iter().copied().map(i32::from).collect(),
            None => vec![0; columns],
        };
        scales.resize(columns, capi::linear::SOFT_BCE_LEAST_SCALE);
        Given {
            rows,
            columns,
            stride,
            data: Placed::new(&data, self.gap),
            each_column: (0..columns).map(each_column).collect(),
            coefficients: Placed::new(&coefficients, 3),
            direction: Placed::new(&direction, 5),
            intercept: self.intercept.map(|number| match self.wild {
                true => number.value(),
                false => half,
            }),
            offset: Placed::new(&offset, 1),
            t: {
                let mut next = || targets.next().map_or(half, |target| target.value(zero));
                Placed::new(&(0..rows).map(|_| next()).collect::<Vec<F>>(), 7)
            },
            weights: {
                let mut next = || weights.next().map_or(half, |weight| weight.value());
                Placed::new(&(0..rows).map(|_| next()).collect::<Vec<F>>(), 9)
            },
            factors: Placed::new(&factors, 11),
            groups: (0..rows).map(|row| group(row) as u32).collect(),
            group_count,
            scales,
        }
    }

    fn width<F>(&self, given: &Given<F>) -> usize {
        given.columns + usize::from(given.intercept.is_some())
    }
}

impl<F: Heads> Given<F> {
    fn head<'a>(
        &'a self,
        problem: &Problem,
        options: &'a Options<F>,
        chosen: &Chosen<F>,
    ) -> Result<Head<'a, F>, Error> {
        let bce = chosen.bce(Some(options), self.weights.get())?;
        let mut head = Head::new(self.coefficients.get()).bce(bce);
        if problem.offset {
            head = head.offset(self.offset.get());
        }
        if let Some(intercept) = self.intercept {
            head = head.intercept(intercept);
        }
        Ok(head)
    }

    /// The definition of the function, in Rust.
    fn run(
        &self,
        problem: &Problem,
        options: &Options<F>,
        chosen: &Chosen<F>,
        out: &mut Written<F>,
    ) -> Result<(), Error> {
        let head = self.head(problem, options, chosen)?;
        let slices: Vec<&[F]> = self.each_column.iter().map(Placed::get).collect();
        let stride = if self.stride == 0 || self.columns == 0 {
            self.columns
        } else {
            self.stride
        };
        let x = match problem.columnar {
            true => Features::columns(&slices, self.rows)?,
            false => Features::strided(self.data.get(), self.rows, self.columns, stride)?,
        };
        let (t, direction) = (self.t.get(), self.direction.get());
        let factor = || match problem.factor % 5 {
            0 => Ok(Factor::Residual),
            1 => Ok(Factor::Hessian),
            2 => Ok(Factor::SquaredResidual),
            3 => Ok(Factor::Given(self.factors.get())),
            _ => Err(Error::InvalidOption {
                option: "factor",
                value: 4.0,
                range: "",
            }),
        };
        let scales =
            || -> Result<Vec<_>, _> { self.scales.iter().copied().map(scale_of).collect() };
        let mut scratch =
            vec![f64::NAN; soft_bce::linear::gradient_gram_scratch(problem.width(self))];
        let scratch = &mut scratch[..];
        let loss = |bytes: &[u8]| soft_bce::LossSum::from_bytes(bytes);
        match problem.operation {
            Operation::Scan => {
                let mut scales = scales()?;
                scan(&x, &mut scales)?;
                out.scales = scales.iter().map(|scale| scale.exponent()).collect();
            }
            Operation::Logits => head.logits(&x, &mut out.z)?,
            Operation::Predict => head.predict(&x, &mut out.z)?,
            Operation::FactorScale => out.scale = head.factor_scale(factor()?)?.exponent(),
            Operation::HessianVectorScale => {
                out.scale = head.hessian_vector_scale(&scales()?, direction)?.exponent();
            }
            Operation::SumGradient => {
                let mut total = loss(&out.loss)?;
                let mut sums = parse(&out.sums)?;
                match problem.groups {
                    None => head.sum_gradient(&x, t, &mut total, &mut sums, scratch)?,
                    Some(_) => {
                        let groups = &self.groups;
                        head.group_gradient(&x, t, groups, &mut total, &mut sums, scratch)?;
                    }
                }
                (out.loss, out.sums) = (total.to_bytes(), to_bytes(&sums));
            }
            Operation::ColumnSums => {
                let factor = factor()?;
                let mut sums = parse(&out.sums)?;
                match problem.groups {
                    None => head.column_sums(&x, t, factor, &mut sums, scratch)?,
                    Some(_) => head.group_sums(&x, t, factor, &self.groups, &mut sums, scratch)?,
                }
                out.sums = to_bytes(&sums);
            }
            Operation::HessianVector => {
                let mut sums = parse(&out.sums)?;
                head.hessian_vector(&x, t, direction, &mut sums, scratch)?;
                out.sums = to_bytes(&sums);
            }
            Operation::Gram => {
                let factor = factor()?;
                let mut sums = parse(&out.gram)?;
                head.gram(&x, t, factor, &mut sums, scratch)?;
                out.gram = to_bytes(&sums);
            }
            Operation::SumGradientGram => {
                let factor = factor()?;
                let mut total = loss(&out.loss)?;
                let (mut sums, mut gram) = (parse(&out.sums)?, parse(&out.gram)?);
                head.sum_gradient_gram(&x, t, factor, &mut total, &mut sums, &mut gram, scratch)?;
                (out.loss, out.sums) = (total.to_bytes(), to_bytes(&sums));
                out.gram = to_bytes(&gram);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Sums of nothing for the call, if there are scales; damaged as is asked for.
fn fresh<F: Heads>(
    problem: &Problem,
    given: &Given<F>,
    options: &Options<F>,
    chosen: &Chosen<F>,
) -> Written<F> {
    let sets = if problem.is_grouped() {
        given.group_count
    } else {
        1
    };
    let width = problem.width(given);
    let mut sums = vec![State::default(); width * sets];
    let mut gram = vec![State::default(); gram_length(width)];
    let lifted = |scale: ColumnScale, lift: i8| {
        let exponent = scale.exponent() + i32::from(lift % 4);
        ColumnScale::from_exponent(exponent).unwrap_or(scale)
    };
    let mut scales = vec![ColumnScale::ZERO; given.columns];
    let slices: Vec<&[F]> = given.each_column.iter().map(Placed::get).collect();
    let seen = Features::columns(&slices, given.rows).and_then(|x| scan(&x, &mut scales));
    let head = match chosen.refused {
        None if seen.is_ok() => given.head(problem, options, chosen).ok(),
        _ => None,
    };
    if let Some(head) = head {
        for scale in &mut scales {
            *scale = lifted(*scale, problem.lifts[0]);
        }
        let of_factor = match problem.operation {
            Operation::HessianVector => head.hessian_vector_scale(&scales, given.direction.get()),
            _ => head.factor_scale(match problem.factor % 5 {
                1 => Factor::Hessian,
                3 => Factor::Given(given.factors.get()),
                _ => Factor::Residual,
            }),
        };
        let of_factor = lifted(of_factor.unwrap_or(ColumnScale::ONE), problem.lifts[1]);
        let residual = head.residual_scale().unwrap_or(of_factor);
        let of_sums = match problem.operation {
            Operation::SumGradient | Operation::SumGradientGram => residual,
            _ => of_factor,
        };
        for sums in sums.chunks_mut(width.max(1)) {
            let _ = head.start_gradient(&scales, of_sums, sums);
        }
        let _ = head.start_gram(&scales, of_factor, &mut gram);
    }
    let mut written = Written {
        z: vec![F::from_f64(SEVEN); given.rows],
        scales: given.scales.clone(),
        scale: 7,
        loss: soft_bce::LossSum::new().to_bytes(),
        sums: to_bytes(&sums),
        gram: to_bytes(&gram),
        values: vec![SEVEN; sums.len()],
        count: 7,
    };
    let states = written.sums.iter_mut().chain(&mut written.gram);
    let mut states: Vec<_> = states.collect();
    let length = states.len() * State::BYTES;
    for &(at, flip) in problem.damage.iter().filter(|_| length > 0) {
        let at = usize::from(at) % length;
        states[at / State::BYTES][at % State::BYTES] ^= flip;
    }
    if let Some((at, flip)) = problem.loss_damage {
        written.loss[usize::from(at) % capi::SOFT_BCE_LOSS_SUM_BYTES] ^= flip;
    }
    written
}

/// The functions that need no model.
fn check_states(problem: &Problem, before: &Written<f64>, width: usize, intercept: bool) {
    let mut after = before.clone();
    let mut bad_index = NO_INDEX;
    let states = |of: &mut Vec<[u8; State::BYTES]>| of.as_mut_ptr().cast::<ColumnSum>();
    let columns = width - usize::from(intercept);
    let scales = before.scales.as_ptr();
    let factor = i32::from(problem.lifts[1]) * 5;
    let n = before.sums.len();
    let mut expected = before.clone();
    // SAFETY, for all calls: the pointers are to as many elements as the lengths say.
    let (status, result) = match problem.operation {
        Operation::Start | Operation::StartGram => {
            let is_gram = problem.operation == Operation::StartGram;
            let constant = intercept.then_some(0);
            let exponents = || before.scales.iter().copied().chain(constant);
            let make = || -> Result<Vec<_>, Error> {
                let factor = scale_of(factor)?;
                let scales: Vec<_> = exponents().map(scale_of).collect::<Result<_, _>>()?;
                let mut made = Vec::new();
                for (row, &left) in scales.iter().enumerate() {
                    if is_gram {
                        for &right in &scales[..=row] {
                            made.push(State::of_products(left, right, factor)?.to_bytes());
                        }
                    } else {
                        made.push(State::new(left, factor)?.to_bytes());
                    }
                }
                Ok(made)
            };
            let result = make();
            let (function, to, of): (unsafe extern "C" fn(_, _, _, _, _) -> _, _, _) = match is_gram
            {
                true => (
                    soft_bce_column_sums_start_gram,
                    &mut after.gram,
                    &mut expected.gram,
                ),
                false => (
                    soft_bce_column_sums_start,
                    &mut after.sums,
                    &mut expected.sums,
                ),
            };
            let status = unsafe { function(scales, columns, intercept.into(), factor, states(to)) };
            let result = result.map(|made| of[..made.len()].copy_from_slice(&made));
            (status, result)
        }
        Operation::Merge => {
            let mut others = before.sums.clone();
            others.rotate_left(usize::from(problem.rows) % n.max(1));
            let merge = |to: &[u8; State::BYTES], from: &[u8; State::BYTES], index| {
                let mut sum = State::from_bytes(to)?;
                sum.merge(&State::from_bytes(from)?)
                    .map_err(|error| match error {
                        Error::ScaleMismatch { .. } => Error::ScaleMismatch { index },
                        error => error,
                    })?;
                Ok(sum.to_bytes())
            };
            let pairs = before.sums.iter().zip(&others).enumerate();
            let merged: Result<Vec<_>, Error> =
                pairs.map(|(i, (to, from))| merge(to, from, i)).collect();
            let (to, from) = (states(&mut after.sums), others.as_ptr().cast());
            let status = unsafe { soft_bce_column_sums_merge(to, from, n, &mut bad_index) };
            (status, merged.map(|merged| expected.sums = merged))
        }
        _ => {
            let from = states(&mut after.sums);
            let status = unsafe { soft_bce_column_sums_values(from, n, after.values.as_mut_ptr()) };
            let read = parse(&before.sums);
            expected.values = match &read {
                Ok(states) => states.iter().map(State::to_f64).collect(),
                Err(_) => vec![f64::NAN; n],
            };
            if let Some(first) = before.sums.first() {
                let state = State::from_bytes(first);
                let counted = unsafe { soft_bce_column_sum_rows(from, &mut after.count) };
                assert_eq!(counted, status_of(&state).0);
                expected.count = state.map_or(before.count, |state| state.rows());
            }
            (status, read.map(|_| ()))
        }
    };
    let (expected_status, index) = status_of(&result);
    assert_eq!(status, expected_status, "{result:?}");
    assert_eq!(bad_index, index.unwrap_or(NO_INDEX));
    assert!(after == expected);
}

pub(crate) fn check<F: Heads>(problem: &Problem) {
    let given = problem.given::<F>();
    let chosen = Chosen::<F>::new(problem.options.as_ref(), given.rows);
    // A head refuses these, whatever they are.
    let mut options = chosen.options.clone().unwrap_or_else(Options::none);
    for parts in [&mut options.row_weights, &mut options.pos_weights] {
        *parts = parts.take().map(|_| Vec::new());
    }
    let before = fresh(problem, &given, &options, &chosen);
    let width = problem.width(&given);
    let operation = problem.operation;
    if matches!(
        operation,
        Operation::Start | Operation::StartGram | Operation::Merge | Operation::Values
    ) {
        let before = Written {
            z: Vec::new(),
            scales: before.scales,
            scale: before.scale,
            loss: before.loss,
            sums: before.sums,
            gram: before.gram,
            values: before.values,
            count: before.count,
        };
        return check_states(problem, &before, width, given.intercept.is_some());
    }
    let mut expected = before.clone();
    let result = match chosen.refused {
        Some(_) => Ok(()),
        None => given.run(problem, &options, &chosen, &mut expected),
    };
    let (mut status, mut index) = status_of(&result);
    if let Some(refused) = chosen.refused {
        status = refused;
    }
    let mut column = NO_INDEX;
    if let (Err(Error::FeatureOutOfScale { column: bad, .. }), true) = (result, problem.want[1]) {
        column = bad;
    }
    if status != Status::SoftBceOk {
        expected = before.clone();
        if matches!(operation, Operation::Logits | Operation::Predict) {
            expected.z.fill(F::from_f64(f64::NAN));
        }
    }
    index = index.filter(|_| problem.want[0]);

    // The C call.
    let weights = match &chosen.options {
        Some(options) if options.weighted => given.weights.get().as_ptr(),
        _ => ptr::null(),
    };
    let c_options = chosen.options.as_ref();
    let c_options =
        c_options.map(|options| F::options(options, weights, chosen.flags, chosen.backend));
    let mut pointers: Vec<*const F> = given
        .each_column
        .iter()
        .map(|column| column.get().as_ptr())
        .collect();
    let has_gram = matches!(operation, Operation::Gram | Operation::SumGradientGram);
    let groups = if problem.is_grouped() {
        given.group_count
    } else {
        0
    };
    let enough = soft_bce_linear_scratch(
        given.columns,
        given.intercept.is_some().into(),
        groups,
        has_gram.into(),
    );
    let less = usize::from(problem.scratch.saturating_sub(200)) * enough / 55;
    let mut scratch = vec![f64::NAN; enough - less];
    let (mut bad_index, mut bad_column) = (NO_INDEX, NO_INDEX);
    let mut after = before.clone();
    let is_given = operation_takes_factor(operation) && problem.factor % 5 == 3;
    let sums_of_factor = matches!(operation, Operation::ColumnSums | Operation::Gram);
    let needs_coefficients = !matches!(operation, Operation::Scan | Operation::FactorScale);
    let needs_targets = match operation {
        Operation::SumGradient | Operation::HessianVector | Operation::SumGradientGram => true,
        _ => sums_of_factor && !is_given,
    };
    let mut model = Linear::<F, F::Options> {
        data: given.data.get().as_ptr(),
        stride: given.stride,
        columns: ptr::null(),
        row_count: given.rows,
        column_count: given.columns,
        coefficients: given.coefficients.get().as_ptr(),
        intercept: given.intercept.as_ref().map_or(ptr::null(), ptr::from_ref),
        offset: ptr::null(),
        t: given.t.get().as_ptr(),
        factors: given.factors.get().as_ptr(),
        groups: ptr::null(),
        group_count: given.group_count,
        options: c_options.as_ref().map_or(ptr::null(), ptr::from_ref),
        scratch: scratch.as_mut_ptr(),
        scratch_length: scratch.len(),
        bad_column: ptr::null_mut(),
    };
    if problem.offset {
        model.offset = given.offset.get().as_ptr();
    }
    if problem.groups.is_some() {
        model.groups = given.groups.as_ptr();
    }
    if problem.want[1] {
        model.bad_column = &mut bad_column;
    }
    let mut index_pointer: Index = ptr::null_mut();
    if problem.want[0] {
        index_pointer = &mut bad_index;
    }
    let mut direction = given.direction.get().as_ptr();
    let mut z = after.z.as_mut_ptr();
    let mut scales = after.scales.as_mut_ptr();
    let mut scale: *mut i32 = &mut after.scale;
    let mut loss: *mut LossSum = after.loss.as_mut_ptr().cast();
    let mut sums: *mut ColumnSum = after.sums.as_mut_ptr().cast();
    let mut gram: *mut ColumnSum = after.gram.as_mut_ptr().cast();
    let (rows, d) = (given.rows, given.columns);
    let has_elements = rows > 0 && d > 0;
    let has_options = c_options.is_some();
    let is_weighted = !weights.is_null();
    let refused = chosen.options.as_ref();
    let refused = refused.and_then(|options| options.row_weights.as_deref());
    let refused = refused.unwrap_or_default();
    let takes_direction = matches!(
        operation,
        Operation::HessianVector | Operation::HessianVectorScale
    );
    let mut fault = None;
    let mut no_model = false;
    match problem.fault {
        None | Some(Fault::Damage(_)) => {}
        Some(Fault::Null(which)) => {
            let planted = match which % 10 {
                0 if !problem.columnar && has_elements => {
                    model.data = ptr::null();
                    true
                }
                1 if problem.columnar && has_elements => {
                    pointers[usize::from(which) % d] = ptr::null();
                    true
                }
                2 if needs_coefficients && d > 0 => {
                    model.coefficients = ptr::null();
                    true
                }
                3 if needs_targets && rows > 0 => {
                    model.t = ptr::null();
                    true
                }
                4 if is_given && rows > 0 => {
                    model.factors = ptr::null();
                    true
                }
                5 if !scratch.is_empty() => {
                    model.scratch = ptr::null_mut();
                    true
                }
                6 if takes_direction && width > 0 => {
                    direction = ptr::null();
                    true
                }
                7 => {
                    loss = ptr::null_mut();
                    scale = ptr::null_mut();
                    matches!(
                        operation,
                        Operation::SumGradient
                            | Operation::SumGradientGram
                            | Operation::FactorScale
                            | Operation::HessianVectorScale
                    )
                }
                8 => {
                    (z, scales) = (ptr::null_mut(), ptr::null_mut());
                    (sums, gram) = (ptr::null_mut(), ptr::null_mut());
                    match operation {
                        Operation::Scan | Operation::HessianVectorScale => d > 0,
                        Operation::Logits | Operation::Predict => rows > 0,
                        Operation::FactorScale => false,
                        Operation::Gram | Operation::SumGradientGram => width > 0,
                        _ => !before.sums.is_empty(),
                    }
                }
                9 => {
                    no_model = true;
                    true
                }
                _ => false,
            };
            fault = planted.then_some(Status::SoftBceNullPointer);
        }
        Some(Fault::Misaligned(which)) => {
            let planted = match which % 10 {
                0 if !problem.columnar && has_elements => {
                    model.data = misaligned(model.data);
                    true
                }
                1 if problem.columnar && has_elements => {
                    let at = usize::from(which) % d;
                    pointers[at] = misaligned(pointers[at]);
                    true
                }
                2 if needs_coefficients && d > 0 => {
                    model.coefficients = misaligned(model.coefficients);
                    true
                }
                3 if given.intercept.is_some() => {
                    model.intercept = misaligned(model.intercept);
                    true
                }
                4 if problem.offset && rows > 0 => {
                    model.offset = misaligned(model.offset);
                    true
                }
                5 if problem.groups.is_some() && rows > 0 => {
                    model.groups = misaligned(model.groups);
                    true
                }
                6 if has_options => {
                    model.options = misaligned(model.options);
                    true
                }
                7 if !scratch.is_empty() => {
                    model.scratch = misaligned(model.scratch).cast_mut();
                    true
                }
                8 if problem.want[0] => {
                    index_pointer = misaligned(index_pointer).cast_mut();
                    true
                }
                9 if problem.want[1] => {
                    model.bad_column = misaligned(model.bad_column).cast_mut();
                    true
                }
                _ => false,
            };
            fault = planted.then_some(Status::SoftBceMisaligned);
        }
        Some(Fault::Overlap(which)) => {
            let planted = match which % 7 {
                0 if !scratch.is_empty() && problem.want[0] => {
                    index_pointer = scratch.as_mut_ptr().cast();
                    true
                }
                1 if problem.want[0] && problem.want[1] => {
                    model.bad_column = index_pointer;
                    true
                }
                2 if has_elements && operation == Operation::Logits => {
                    z = match problem.columnar {
                        true => pointers[d - 1].wrapping_add(rows - 1).cast_mut(),
                        false => model.data.cast_mut(),
                    };
                    true
                }
                3 if needs_targets && rows > 0 && !before.sums.is_empty() => {
                    sums = model.t.cast_mut().cast();
                    operation != Operation::Gram
                }
                4 if is_weighted && rows > 0 && operation == Operation::Predict => {
                    z = weights.cast_mut();
                    true
                }
                5 => {
                    model.bad_column = &raw mut model.row_count;
                    true
                }
                6 if !refused.is_empty() => {
                    model.bad_column = refused.as_ptr().cast_mut().cast();
                    true
                }
                _ => false,
            };
            fault = planted.then_some(Status::SoftBceOverlap);
        }
        Some(Fault::Length(which)) => {
            let too_many = usize::MAX / size_of::<F>() + usize::from(which);
            let planted = match which % 4 {
                0 if needs_targets || d > 0 => {
                    model.row_count = too_many;
                    true
                }
                1 if needs_coefficients => {
                    model.column_count = too_many;
                    true
                }
                2 if problem.is_grouped() && width > 0 => {
                    model.group_count = too_many;
                    true
                }
                3 => {
                    model.scratch_length = too_many;
                    true
                }
                _ => false,
            };
            fault = planted.then_some(Status::SoftBceLengthOverflow);
        }
    }
    if problem.columnar {
        model.columns = pointers.as_ptr();
        model.data = ptr::null();
    }
    let model = if no_model {
        ptr::null()
    } else {
        &raw const model
    };
    let functions = F::FUNCTIONS;
    let factor = u32::from(problem.factor % 5);
    // SAFETY: the pointers that are neither null nor misaligned are those of the arrays above, and
    // lengths beyond theirs are more than the address space holds, so that nothing is accessed.
    let returned = unsafe {
        match operation {
            Operation::Scan => (functions.scan)(model, scales, index_pointer),
            Operation::Logits => (functions.logits)(model, z, index_pointer),
            Operation::Predict => (functions.predict)(model, z, index_pointer),
            Operation::FactorScale => (functions.factor_scale)(model, factor, scale, index_pointer),
            Operation::HessianVectorScale => {
                let function = functions.hessian_vector_scale;
                function(model, scales, direction, scale, index_pointer)
            }
            Operation::SumGradient => (functions.sum_gradient)(model, loss, sums, index_pointer),
            Operation::ColumnSums => (functions.column_sums)(model, factor, sums, index_pointer),
            Operation::HessianVector => {
                (functions.hessian_vector)(model, direction, sums, index_pointer)
            }
            Operation::Gram => (functions.gram)(model, factor, gram, index_pointer),
            _ => {
                let function = functions.sum_gradient_gram;
                function(model, factor, loss, sums, gram, index_pointer)
            }
        }
    };
    let inputs = [&given.data, &given.coefficients, &given.offset, &given.t];
    inputs
        .iter()
        .for_each(|input| input.assert_others_untouched());
    if let Some(fault) = fault {
        assert_eq!(returned, fault);
        assert!(after == before, "something was written");
        assert_eq!((bad_index, bad_column), (NO_INDEX, NO_INDEX));
        return;
    }
    if returned == Status::SoftBceLengthMismatch && less > 0 {
        // As the header says; what else is wrong may be found before.
        if !matches!(operation, Operation::Logits | Operation::Predict) {
            assert!(after == before, "something was written");
        }
        return;
    }
    assert_eq!(returned, status, "{result:?}");
    assert_eq!(bad_index, index.unwrap_or(NO_INDEX), "{result:?}");
    assert_eq!(bad_column, column, "{result:?}");
    assert!(after == expected, "{operation:?} {returned:?}");
}

fn operation_takes_factor(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::FactorScale
            | Operation::ColumnSums
            | Operation::Gram
            | Operation::SumGradientGram
    )
}
