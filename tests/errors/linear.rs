//! The same for the linear head: rows of a second table.

use std::mem::discriminant;

use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, gram_length, merge, scan,
};
use soft_bce::{Backend, Bce, Error, LossSum};

const ROWS: usize = 70;
const COLUMNS: usize = 2;
/// Of a gradient with an intercept.
const WIDTH: usize = COLUMNS + 1;
const GROUPS: usize = 2;

#[derive(Clone)]
struct Inputs {
    x: Vec<f64>,
    columns: usize,
    t: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
    factors: Vec<f64>,
    groups: Vec<u32>,
    direction: Vec<f64>,
    coefficients: Vec<f64>,
    intercept: f64,
    pos_weight: f64,
    row_weights: bool,
    scratch: usize,
    backend: Backend,
}

/// What is written or added to.
#[derive(Clone)]
struct Outputs {
    z: Vec<f64>,
    scales: Vec<ColumnScale>,
    loss: LossSum,
    columns: Vec<ColumnSum>,
    gram: Vec<ColumnSum>,
}

impl Outputs {
    fn fill(&mut self, factor: ColumnScale) {
        let head = Head::new(&[0.0; COLUMNS]).intercept(0.0);
        let scales = [ColumnScale::of(1000.0).unwrap(); COLUMNS];
        for sums in self.columns.chunks_mut(WIDTH) {
            head.start_gradient(&scales, factor, sums).unwrap();
        }
        head.start_gram(&scales, factor, &mut self.gram).unwrap();
    }

    /// All but z, to be compared.
    fn sums(&self) -> (&[ColumnScale], &LossSum, &[ColumnSum], &[ColumnSum]) {
        (&self.scales, &self.loss, &self.columns, &self.gram)
    }
}

struct Operation {
    name: &'static str,
    /// Its arguments, and what it looks at.
    takes: &'static str,
    run: fn(&Inputs, &mut Outputs) -> Result<(), Error>,
}

struct Fault {
    name: &'static str,
    /// In this of what an operation takes.
    of: &'static str,
    plant: fn(&mut Inputs, &mut Outputs),
    names: fn(&Error) -> bool,
}

impl Inputs {
    fn features(&self) -> Features<'_, f64> {
        Features::rows(&self.x, ROWS, self.columns).unwrap()
    }

    fn head(&self) -> Head<'_, f64> {
        let bce = Bce::new().backend(self.backend).unwrap();
        let mut bce = bce.weights(&self.weights).pos_weight(self.pos_weight);
        if self.row_weights {
            bce = bce.row_weights(&[1.0; ROWS]);
        }
        let head = Head::new(&self.coefficients).bce(bce);
        head.offset(&self.offset).intercept(self.intercept)
    }
}

fn valid(operation: &Operation, backend: Backend) -> (Inputs, Outputs) {
    let each = |factor: usize| (0..ROWS).map(|i| (i * factor % 9) as f64 / 8.0).collect();
    let grouped = operation.takes.contains("groups");
    let mut outputs = Outputs {
        z: vec![7.0; ROWS],
        scales: vec![ColumnScale::ONE; COLUMNS],
        loss: LossSum::new(),
        columns: vec![ColumnSum::default(); WIDTH * if grouped { GROUPS } else { 1 }],
        gram: vec![ColumnSum::default(); gram_length(WIDTH)],
    };
    outputs.loss.add(1.5);
    outputs.fill(ColumnScale::of(1000.0).unwrap());
    let inputs = Inputs {
        x: (0..ROWS * COLUMNS).map(|i| (i % 7) as f64).collect(),
        columns: COLUMNS,
        t: (0..ROWS).map(|i| (i % 5) as f64 / 4.0).collect(),
        weights: vec![1.0; ROWS],
        offset: each(2),
        factors: each(4),
        groups: (0..ROWS).map(|i| (i / 7 % GROUPS) as u32).collect(),
        direction: vec![0.5; WIDTH],
        coefficients: vec![0.25, -0.5],
        intercept: 0.125,
        pos_weight: 1.0,
        row_weights: false,
        scratch: gradient_gram_scratch(WIDTH),
        backend,
    };
    (inputs, outputs)
}

macro_rules! operations {
    ($($name:literal, $takes:expr, |$in:pat_param, $out:pat_param, $scratch:pat_param| $run:expr;)*) => {
        vec![$(Operation {
            name: $name,
            takes: $takes,
            run: |inputs, outputs| {
                let scratch = &mut vec![f64::NAN; inputs.scratch][..];
                let ($in, $out, $scratch) = (inputs, outputs, scratch);
                $run
            },
        }),*]
    };
}

fn operations() -> Vec<Operation> {
    #[allow(unused_mut, reason = "without threads")]
    let mut all = operations! {
        "linear::scan", "x scales", |i, o, _| scan(&i.features(), &mut o.scales);
        "logits", "x coefficients head offset z logit", |i, o, _| i.head().logits(&i.features(), &mut o.z);
        "predict", "x coefficients head offset z logit", |i, o, _| i.head().predict(&i.features(), &mut o.z);
        "sum_gradient", "x coefficients head offset t weights logit columns scale scratch",
            |i, o, s| i.head().sum_gradient(&i.features(), &i.t, &mut o.loss, &mut o.columns, s);
        "group_gradient", "x coefficients head offset t weights logit columns scale scratch groups",
            |i, o, s| i.head().group_gradient(
                &i.features(), &i.t, &i.groups, &mut o.loss, &mut o.columns, s);
        "column_sums", "x coefficients head offset t weights logit columns scale scratch",
            |i, o, s| i.head().column_sums(
                &i.features(), &i.t, Factor::Hessian, &mut o.columns, s);
        "column_sums, of given factors", "x coefficients head columns scale scratch factors",
            |i, o, s| i.head().column_sums(
                &i.features(), &[], Factor::Given(&i.factors), &mut o.columns, s);
        "group_sums", "x coefficients head offset t weights logit columns scale scratch groups",
            |i, o, s| i.head().group_sums(
                &i.features(), &i.t, Factor::SquaredResidual, &i.groups, &mut o.columns, s);
        "hessian_vector", "x coefficients head offset t weights logit columns scale scratch direction",
            |i, o, s| i.head().hessian_vector(
                &i.features(), &i.t, &i.direction, &mut o.columns, s);
        "gram", "x coefficients head offset t weights logit gram scale scratch",
            |i, o, s| i.head().gram(&i.features(), &i.t, Factor::Hessian, &mut o.gram, s);
        "sum_gradient_gram", "x coefficients head offset t weights logit columns gram scale scratch",
            |i, o, s| i.head().sum_gradient_gram(
                &i.features(), &i.t, Factor::Hessian, &mut o.loss, &mut o.columns, &mut o.gram, s);
        "linear::merge", "columns others", |_, o, _| {
            let mut others = o.clone();
            others.columns.resize(WIDTH, ColumnSum::default());
            others.fill(ColumnScale::of(1000.0)?);
            merge(&mut o.columns, &others.columns)
        };
    };
    #[cfg(feature = "rayon")]
    all.extend(operations! {
        "par_sum_gradient", "x coefficients head offset t weights logit columns scale",
            |i, o, _| i.head().par_sum_gradient(&i.features(), &i.t, &mut o.loss, &mut o.columns);
        "par_hessian_vector", "x coefficients head offset t weights logit columns scale direction",
            |i, o, _| i.head().par_hessian_vector(
                &i.features(), &i.t, &i.direction, &mut o.columns);
        "par_gram", "x coefficients head offset t weights logit gram scale",
            |i, o, _| i.head().par_gram(&i.features(), &i.t, Factor::Hessian, &mut o.gram);
        "par_sum_gradient_gram", "x coefficients head offset t weights logit columns gram scale",
            |i, o, _| i.head().par_sum_gradient_gram(
                &i.features(), &i.t, Factor::Hessian, &mut o.loss, &mut o.columns, &mut o.gram);
    });
    all
}

fn shorten<T>(of: &mut Vec<T>) {
    of.truncate(of.len() - 1);
}

/// A sum of nothing with other exponents of the column's and the factors' scale.
fn of_scales(sum: &ColumnSum, column: i16, factor: i16) -> ColumnSum {
    let mut bytes = sum.to_bytes();
    let exponents = [sum.column_exponent(), sum.factor_exponent()];
    for ((to, of), more) in bytes[4..8]
        .chunks_mut(2)
        .zip(exponents)
        .zip([column, factor])
    {
        to.copy_from_slice(&(of as i16 + more).to_le_bytes());
    }
    ColumnSum::from_bytes(&bytes).unwrap()
}

/// The sum of as many rows as there can be.
fn full(sum: &mut ColumnSum) {
    let mut bytes = sum.to_bytes();
    bytes[8..16].fill(0xff);
    *sum = ColumnSum::from_bytes(&bytes).unwrap();
}

macro_rules! faults {
    ($($name:literal, $of:literal, |$in:pat_param, $out:pat_param| $plant:expr => $names:pat,)*) => {
        vec![$(Fault {
            name: $name,
            of: $of,
            plant: |$in, $out| $plant,
            names: |error| matches!(error, $names),
        }),*]
    };
}

fn faults() -> Vec<Fault> {
    use Error::*;
    faults! {
        "sums or outputs have another length", "columns",
            |_, o| shorten(&mut o.columns) => LengthMismatch { .. },
        "the Gram matrix has", "gram",
            |_, o| shorten(&mut o.gram) => LengthMismatch { argument: "sums" | "gram", .. },
        "z or p has", "z", |_, o| shorten(&mut o.z) => LengthMismatch { argument: "z" | "p", .. },
        "`scales` have", "scales",
            |_, o| shorten(&mut o.scales) => LengthMismatch { argument: "scales", .. },
        "`scratch` is too short", "scratch",
            |i, _| i.scratch = 8 => LengthMismatch { argument: "scratch", .. },
        "`groups`", "groups",
            |i, _| shorten(&mut i.groups) => LengthMismatch { argument: "groups", .. },
        "`direction`", "direction",
            |i, _| shorten(&mut i.direction) => LengthMismatch { argument: "direction", .. },
        "given factors", "factors",
            |i, _| shorten(&mut i.factors) => LengthMismatch { argument: "factors", .. },
        "`t` has another length", "t", |i, _| shorten(&mut i.t) => LengthMismatch { argument: "t", .. },
        "X has other columns", "coefficients",
            |i, _| (i.columns, i.x) = (3, vec![1.0; 3 * ROWS]) => LengthMismatch { .. },
        "`offset`", "offset",
            |i, _| shorten(&mut i.offset) => LengthMismatch { argument: "offset", .. },
        "`weights`", "weights",
            |i, _| shorten(&mut i.weights) => LengthMismatch { argument: "weights", .. },
        "an option is out of its range", "head",
            |i, _| i.pos_weight = 0.0 => InvalidOption { option: "pos_weight", .. },
        "an option of other calls", "head",
            |i, _| i.row_weights = true => UnsupportedOptions { .. },
        "the intercept", "head",
            |i, _| i.intercept = f64::NAN => InvalidOption { option: "intercept", .. },
        "a coefficient", "coefficients",
            |i, _| i.coefficients[1] = f64::INFINITY => InvalidCoefficient { index: 1, .. },
        "an element of the direction", "direction",
            |i, _| i.direction[2] = f64::NAN => InvalidCoefficient { index: 2, .. },
        "the scales of sums differ", "gram",
            |_, o| o.gram[4] = ColumnSum::default() => ScaleMismatch { index: 4 },
        "of groups", "groups",
            |_, o| o.columns[4] = ColumnSum::default() => ScaleMismatch { index: 4 },
        "of factors", "scale",
            |_, o| {
                o.columns[1] = of_scales(&o.columns[1], 0, -1);
                o.gram[1] = of_scales(&o.gram[1], 0, -1);
            } => ScaleMismatch { index: 1 },
        "the intercept's is less than 1", "scale",
            |_, o| {
                for sum in o.columns.iter_mut().skip(COLUMNS).step_by(WIDTH) {
                    *sum = of_scales(sum, -1, 0);
                }
                for (sum, less) in o.gram[3..].iter_mut().zip([-1, -1, -2]) {
                    *sum = of_scales(sum, less, 0);
                }
            } => ScaleMismatch { index: 2 | 3 },
        "of merged sums", "others",
            |_, o| o.columns[1] = ColumnSum::default() => ScaleMismatch { .. },
        "there is no such group", "groups",
            |i, _| i.groups[40] = 9 => GroupOutOfRange { row: 40, group: 9 },
        "too many rows", "scale",
            |_, o| o.columns.iter_mut().chain(&mut o.gram).for_each(full) => TooManyRows,
        "a feature", "x",
            |i, _| i.x[34 * COLUMNS + 1] = f64::NAN => FeatureOutOfScale { row: 34, column: 1, .. },
        "a feature beyond its scale", "scale",
            |i, _| i.x[35 * COLUMNS] = 1e9 => FeatureOutOfScale { row: 35, column: 0, .. },
        "an offset", "offset",
            |i, _| i.offset[36] = f64::INFINITY => InvalidOffset { row: 36, .. },
        "a target", "t", |i, _| i.t[37] = 1.5 => TargetOutOfRange { index: 37, .. },
        "a weight", "weights", |i, _| i.weights[38] = -1.0 => InvalidWeight { index: 38, .. },
        "a logit beyond the range", "logit",
            |i, _| (i.intercept, i.offset[39]) = (f64::MAX, f64::MAX) => InvalidLogit { row: 39, .. },
        "a factor beyond its scale", "scale",
            |i, _| (i.weights[41], i.factors[41]) = (1e6, 1e6) => FactorOutOfScale { row: 41, .. },
    }
}

pub fn table() -> String {
    let faults = faults();
    let names: Vec<_> = faults.iter().map(|fault| fault.name).collect();
    let mut table = format!(
        "| operation | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(faults.len())
    );
    for operation in operations() {
        table += &format!("| `{}` |", operation.name);
        for fault in &faults {
            let possible = operation.takes.split(' ').any(|taken| taken == fault.of);
            let mut seen = Vec::new();
            for backend in Backend::available().filter(|_| possible) {
                let (mut inputs, mut before) = valid(&operation, backend);
                assert_eq!((operation.run)(&inputs, &mut before.clone()), Ok(()));
                (fault.plant)(&mut inputs, &mut before);
                let mut after = before.clone();
                let error = (operation.run)(&inputs, &mut after).expect_err(fault.name);
                let shown = format!("{}, {}: {error:?}", operation.name, fault.name);
                assert!((fault.names)(&error), "{shown}");
                assert_eq!(before.sums(), after.sums(), "{shown}");
                let is_nan = after.z.iter().all(|z| z.is_nan());
                assert_eq!(is_nan, operation.takes.contains(" z "), "{shown}");
                seen.push(if is_nan {
                    "output NaN"
                } else if operation.takes.contains("scales") {
                    "scales as before"
                } else {
                    "sums as before"
                });
            }
            seen.dedup();
            assert!(seen.len() < 2);
            table += &format!(" {} |", seen.first().unwrap_or(&"—"));
        }
        table += "\n";
    }
    table
}

/// With two things wrong, the one that is looked for first. Of lengths, and of two of one kind, no order is
/// promised.
pub fn check_order() {
    let faults = faults();
    for operation in operations() {
        let possible = |fault: &&Fault| operation.takes.split(' ').any(|taken| taken == fault.of);
        let error_of = |planted: &[&Fault]| {
            let (mut inputs, mut outputs) = valid(&operation, Backend::detect());
            for fault in planted {
                (fault.plant)(&mut inputs, &mut outputs);
            }
            (operation.run)(&inputs, &mut outputs).expect_err(operation.name)
        };
        for (i, first) in faults
            .iter()
            .enumerate()
            .filter(|(_, fault)| possible(fault))
        {
            for second in faults[i + 1..].iter().filter(possible) {
                let [one, other] = [first, second].map(|fault| discriminant(&error_of(&[fault])));
                if one != other {
                    let error = error_of(&[second, first]);
                    let (name, first, second) = (operation.name, first.name, second.name);
                    assert_eq!(
                        discriminant(&error),
                        one,
                        "{name}: {error:?}: {first}, {second}"
                    );
                }
            }
        }
    }
}
