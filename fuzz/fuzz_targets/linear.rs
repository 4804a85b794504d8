//! The linear head: whatever the order of the rows, the cuts, layouts, backends and merges, the sums are
//! those of the rows one by one, and within their bound of the formula; errors come whole; states from
//! bytes are what `to_bytes` writes, and merge or refuse to.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, gradient_scratch,
    gram_length, gram_scratch, merge, scan,
};
use soft_bce::{Backend, Bce, Error, LossSum, Real};

#[derive(Arbitrary, Debug)]
enum Input {
    Single(Problem),
    Double(Problem),
    Bytes(Vec<u8>, Vec<u8>),
}

#[derive(Arbitrary, Debug, Clone, Copy, PartialEq)]
enum Operation {
    SumGradient,
    Gram,
    SumGradientGram,
    ColumnSums,
    GroupSums,
    GroupGradient,
    HessianVector,
}

impl Operation {
    fn has_columns(self) -> bool {
        self != Self::Gram
    }

    fn has_gram(self) -> bool {
        matches!(self, Self::Gram | Self::SumGradientGram)
    }

    fn has_groups(self) -> bool {
        matches!(self, Self::GroupSums | Self::GroupGradient)
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Kind {
    Residual,
    Hessian,
    SquaredResidual,
    Given,
}

#[derive(Arbitrary, Debug)]
struct Problem {
    operation: Operation,
    factor: Kind,
    groups: u8,
    offset: bool,
    options: u8,
    columns: u8,
    /// Rows are made of these, chosen by `seed`, and repeated.
    numbers: Vec<Number>,
    repeats: Vec<u8>,
    seed: u64,
    intercept: bool,
    weighted: bool,
    coefficients: bool,
    parts: Vec<Part>,
    /// A sum with another scale: more or less of the column's and of the factors' exponents.
    odd_one: (u8, i8, i8),
}

/// Some rows, and how they are computed.
#[derive(Arbitrary, Debug)]
struct Part {
    rows: u8,
    backend: u8,
    columnar: bool,
    gap: u8,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Number {
    /// Few bits, around half a unit of the grid: products that tie, or nearly.
    Fine {
        odd: u8,
        exponent: u8,
    },
    /// Few bits, up to 1: what the scale is made of.
    Coarse(i8),
    Any(f32),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Fine { odd, exponent } => {
                (f64::from(odd) * 2.0 + 1.0) * 2f64.powi(-28 - i32::from(exponent % 32))
            }
            Self::Coarse(eighths) => f64::from(eighths) / 128.0,
            Self::Any(value) => f64::from(value),
        }
    }
}

impl Problem {
    fn is_reshaped(&self) -> bool {
        self.options & 1 != 0
    }

    fn has_teacher(&self) -> bool {
        self.options & 2 != 0 && !self.is_reshaped()
    }
}

/// Logits, few of them in [0, 1], and the hard labels.
fn teacher(t: f64) -> f64 {
    match t {
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        t => 16.0 * t - 8.0,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % count.max(1) as u64) as usize
    }
}

trait Element: Real + std::fmt::Debug {
    const EPSILON: f64;
    fn of(value: f64) -> Self;
    fn value(self) -> f64;
    fn exact(bce: Bce<'_, Self>) -> Bce<'_, Self>;
}
impl Element for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn of(value: f64) -> Self {
        value as f32
    }
    fn value(self) -> f64 {
        self.into()
    }
    fn exact(bce: Bce<'_, Self>) -> Bce<'_, Self> {
        bce.exact()
    }
}
impl Element for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn of(value: f64) -> Self {
        value
    }
    fn value(self) -> f64 {
        self
    }
    fn exact(bce: Bce<'_, Self>) -> Bce<'_, Self> {
        bce
    }
}

struct Data<'a, T> {
    problem: &'a Problem,
    columns: usize,
    x: Vec<T>,
    t: Vec<T>,
    weights: Vec<T>,
    offset: Vec<T>,
    given: Vec<T>,
    groups: Vec<u32>,
    coefficients: Vec<T>,
    direction: Vec<T>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sums {
    loss: LossSum,
    columns: Vec<ColumnSum>,
    gram: Vec<ColumnSum>,
}

const MOST_ROWS: usize = 600;

impl<'a, T: Element> Data<'a, T> {
    fn new(problem: &'a Problem) -> Self {
        let mut random = Random(problem.seed);
        let columns = usize::from(problem.columns % 20);
        let pick = |random: &mut Random| match problem.numbers.len() {
            0 => 0.5,
            count => problem.numbers[random.below(count)].value(),
        };
        let mut vector = |zero: bool| -> Vec<T> {
            let count = columns + usize::from(problem.intercept);
            let each = (0..count).map(|_| if zero { 0.0 } else { pick(&mut random) });
            each.map(T::of).collect()
        };
        let mut data = Self {
            problem,
            columns,
            x: Vec::new(),
            t: Vec::new(),
            weights: Vec::new(),
            offset: Vec::new(),
            given: Vec::new(),
            groups: Vec::new(),
            coefficients: vector(!problem.coefficients)[..columns].to_vec(),
            direction: vector(false),
        };
        for &repeat in &problem.repeats {
            let row: Vec<T> = (0..columns).map(|_| T::of(pick(&mut random))).collect();
            // Residuals with few bits where the logit is 0.
            let t = random.below(17) as f64 / 16.0;
            let weight = [0.0, 1.0, 0.75][random.below(3)];
            let (offset, given) = (pick(&mut random), pick(&mut random));
            let group = random.below(data.group_count());
            for i in 0..usize::from(repeat) {
                if data.t.len() < MOST_ROWS {
                    data.x.extend_from_slice(&row);
                    data.t
                        .push(T::of(if problem.has_teacher() { teacher(t) } else { t }));
                    data.weights.push(T::of(weight));
                    data.offset.push(T::of(offset));
                    data.given.push(T::of(given));
                    data.groups
                        .push(((group + i / 50) % data.group_count()) as u32);
                }
            }
        }
        data
    }

    fn rows(&self) -> usize {
        self.t.len()
    }

    fn group_count(&self) -> usize {
        match self.problem.operation.has_groups() {
            true => 1 + usize::from(self.problem.groups % 5),
            false => 1,
        }
    }

    fn row(&self, row: usize) -> &[T] {
        &self.x[row * self.columns..][..self.columns]
    }

    fn pick(&self, rows: &[usize]) -> Self {
        let each = |of: &[T]| rows.iter().map(|&row| of[row]).collect();
        Self {
            x: rows
                .iter()
                .flat_map(|&row| self.row(row))
                .copied()
                .collect(),
            t: each(&self.t),
            weights: each(&self.weights),
            offset: each(&self.offset),
            given: each(&self.given),
            groups: rows.iter().map(|&row| self.groups[row]).collect(),
            coefficients: self.coefficients.clone(),
            direction: self.direction.clone(),
            ..*self
        }
    }

    fn bce(&self, backend: Backend) -> Bce<'_, T> {
        let mut bce = Bce::new().backend(backend).unwrap();
        if self.problem.weighted {
            bce = bce.weights(&self.weights);
        }
        let problem = self.problem;
        if problem.is_reshaped() {
            bce = bce.pos_weight(T::of(3.0)).label_smoothing(T::of(0.25));
        }
        if problem.has_teacher() {
            bce = bce.logit_targets();
        }
        if !problem.is_reshaped() && problem.options & 4 != 0 {
            bce = bce.excess();
        }
        let temperatures = [1.0, 0.5, 3.0, 0.3, 0.01, 1.5, 100.0, 0.125];
        let temperature = temperatures[usize::from(problem.options >> 3) % 8];
        if temperature != 1.0 {
            bce = bce.temperature(T::of(temperature));
        }
        if problem.options == 64 && !problem.weighted {
            bce = T::exact(bce);
        }
        bce
    }

    fn head(&self, backend: Backend) -> Head<'_, T> {
        let mut head = Head::new(&self.coefficients).bce(self.bce(backend));
        if self.problem.offset {
            head = head.offset(&self.offset);
        }
        if self.problem.intercept {
            head = head.intercept(T::of(0.0));
        }
        head
    }

    fn factor(&self) -> Factor<'_, T> {
        match self.problem.factor {
            Kind::Residual => Factor::Residual,
            Kind::Hessian => Factor::Hessian,
            Kind::SquaredResidual => Factor::SquaredResidual,
            Kind::Given => Factor::Given(&self.given),
        }
    }

    /// Of the sums of columns.
    fn column_factor(&self) -> Factor<'_, T> {
        match self.problem.operation {
            Operation::ColumnSums | Operation::GroupSums => self.factor(),
            Operation::HessianVector => Factor::Hessian,
            _ => Factor::Residual,
        }
    }

    fn start(&self, scales: &[ColumnScale]) -> Result<Sums, Error> {
        let operation = self.problem.operation;
        let head = self.head(Backend::Scalar);
        let (mut columns, mut gram) = (Vec::new(), Vec::new());
        if operation.has_columns() {
            let scale = match operation {
                Operation::HessianVector => head.hessian_vector_scale(scales, &self.direction)?,
                _ => head.factor_scale(self.column_factor())?,
            };
            columns = vec![ColumnSum::default(); head.width() * self.group_count()];
            for sums in columns.chunks_mut(head.width().max(1)) {
                head.start_gradient(scales, scale, sums)?;
            }
        }
        if operation.has_gram() {
            gram = vec![ColumnSum::default(); gram_length(head.width())];
            head.start_gram(scales, head.factor_scale(self.factor())?, &mut gram)?;
        }
        let loss = LossSum::new();
        Ok(Sums {
            loss,
            columns,
            gram,
        })
    }

    /// The definition, by the simplest operations: one row, in its group's place.
    fn add_row(&self, sums: &mut Sums) -> Result<(), Error> {
        let head = self.head(Backend::Scalar);
        let x = Features::rows(&self.x, 1, self.columns).unwrap();
        let t = &self.t;
        let Sums {
            loss,
            columns,
            gram,
        } = sums;
        let width = head.width();
        let mut scratch = vec![f64::NAN; gradient_gram_scratch(width)];
        let group = self.groups[0] as usize;
        let columns = columns.get_mut(group * width..).unwrap_or_default();
        let columns = columns.get_mut(..width).unwrap_or_default();
        match self.problem.operation {
            Operation::ColumnSums | Operation::GroupSums => {
                head.column_sums(&x, t, self.factor(), columns, &mut scratch)?;
            }
            Operation::HessianVector => {
                head.hessian_vector(&x, t, &self.direction, columns, &mut scratch)?;
            }
            Operation::Gram => {}
            _ => head.sum_gradient(&x, t, loss, columns, &mut scratch)?,
        }
        if self.problem.operation.has_gram() {
            head.gram(&x, t, self.factor(), gram, &mut scratch)?;
        }
        Ok(())
    }

    fn add(
        &self,
        sums: &mut Sums,
        backend: Backend,
        columnar: bool,
        gap: usize,
    ) -> Result<(), Error> {
        let (rows, columns) = (self.rows(), self.columns);
        let transposed: Vec<Vec<T>> = (0..columns)
            .map(|j| (0..rows).map(|i| self.x[i * columns + j]).collect())
            .collect();
        let slices: Vec<&[T]> = transposed.iter().map(Vec::as_slice).collect();
        let stride = columns + gap;
        let mut padded = vec![T::of(f64::NAN); rows * stride];
        for row in 0..rows {
            padded[row * stride..][..columns].copy_from_slice(self.row(row));
        }
        let x = if columnar {
            Features::columns(&slices, rows)
        } else {
            Features::strided(&padded, rows, columns, stride)
        }
        .unwrap();
        let head = self.head(backend);
        let width = head.width();
        let before = sums.clone();
        let Sums {
            loss,
            columns,
            gram,
        } = sums;
        let (t, factor, groups) = (&self.t[..], self.factor(), &self.groups[..]);
        let length = match self.problem.operation {
            Operation::Gram => gram_scratch(width),
            Operation::SumGradientGram => gradient_gram_scratch(width),
            _ => gradient_scratch(width),
        };
        let scratch = &mut vec![f64::NAN; length][..];
        let result = match self.problem.operation {
            Operation::SumGradient => head.sum_gradient(&x, t, loss, columns, scratch),
            Operation::Gram => head.gram(&x, t, factor, gram, scratch),
            Operation::SumGradientGram => {
                head.sum_gradient_gram(&x, t, factor, loss, columns, gram, scratch)
            }
            Operation::ColumnSums => head.column_sums(&x, t, factor, columns, scratch),
            Operation::GroupSums => head.group_sums(&x, t, factor, groups, columns, scratch),
            Operation::GroupGradient => head.group_gradient(&x, t, groups, loss, columns, scratch),
            Operation::HessianVector => {
                head.hessian_vector(&x, t, &self.direction, columns, scratch)
            }
        };
        if result.is_err() {
            assert_eq!(*sums, before);
        }
        result
    }

    /// Only numbers are wrong: options, targets and weights are valid, and factors have the scale of
    /// their bound.
    fn assert_expected(&self, error: Error) {
        let is_product = self.problem.operation == Operation::HessianVector;
        assert!(
            match error {
                Error::InvalidLogit { .. }
                | Error::InvalidOffset { .. }
                | Error::InvalidCoefficient { .. } => true,
                Error::FactorOutOfScale { .. } => is_product,
                _ => false,
            },
            "{error:?}"
        );
    }

    /// The formula, in plain f64: a sum that is off by more than its bound and that of this arithmetic
    /// lacks something, or has something twice.
    fn assert_values(&self, sums: &Sums) {
        let rows = self.rows();
        let x = Features::rows(&self.x, rows, self.columns).unwrap();
        let mut z = vec![T::of(0.0); rows];
        if self.head(Backend::Scalar).logits(&x, &mut z).is_err() {
            return;
        }
        let [mut losses, mut residuals, mut hessians] = [(); 3].map(|()| z.clone());
        let [loss, residual, hessian] = [&mut losses, &mut residuals, &mut hessians];
        let bce = self.bce(Backend::Scalar);
        bce.loss_gradient_hessian(&z, &self.t, loss, residual, hessian)
            .unwrap();
        let factors = |of: Factor<'_, T>| -> Vec<f64> {
            match of {
                Factor::Residual => residuals.iter().map(|y| y.value()).collect(),
                Factor::Hessian => hessians.iter().map(|y| y.value()).collect(),
                Factor::SquaredResidual => residuals.iter().map(|y| y.value().powi(2)).collect(),
                Factor::Given(given) => given.iter().map(|y| y.value()).collect(),
            }
        };
        // With the ones of an intercept.
        let width = self.columns + usize::from(self.problem.intercept);
        let feature = |row: usize, j: usize| self.row(row).get(j).map_or(1.0, |x| x.value());
        let mut y = factors(self.column_factor());
        let mut inexact = vec![0.0; rows];
        if self.problem.operation == Operation::HessianVector {
            for (row, y) in y.iter_mut().enumerate() {
                let terms = || (0..width).map(|j| feature(row, j) * self.direction[j].value());
                let size: f64 = terms().map(f64::abs).sum();
                // Roundings to `T`, subnormal ones too.
                inexact[row] = y.abs() * size * 24.0 * T::EPSILON + 1e-37;
                *y *= terms().sum::<f64>();
            }
        }
        let near = |sum: &ColumnSum, terms: &mut dyn Iterator<Item = (f64, f64)>| {
            let (mut total, mut slack, mut count) = (0.0, 0.0, 0.0);
            for (term, inexact) in terms {
                total += term;
                slack += term.abs() * 1e-12 + inexact;
                count += 1.0;
            }
            let grid = 2.0_f64.powi(sum.unit_exponent().max(-1020));
            let found = sum.to_f64();
            let error = (found - total).abs();
            assert!(
                error <= count * grid + slack,
                "{found:e} instead of {total:e}"
            );
        };
        for (at, sum) in sums.columns.iter().enumerate() {
            let (group, j) = (at / width, at % width);
            let of_group = (0..rows).filter(|&row| self.groups[row] as usize == group);
            let size = |row| feature(row, j).abs();
            let term = |row| (y[row] * feature(row, j), inexact[row] * size(row));
            near(sum, &mut of_group.map(term));
        }
        let y = factors(self.factor());
        let elements = (0..width).flat_map(|j| (0..=j).map(move |k| (j, k)));
        for (sum, (j, k)) in sums.gram.iter().zip(elements) {
            let term = |row| (y[row] * feature(row, j) * feature(row, k), 0.0);
            near(sum, &mut (0..rows).map(term));
        }
        if matches!(
            self.problem.operation,
            Operation::SumGradient | Operation::SumGradientGram | Operation::GroupGradient
        ) {
            let mut loss = LossSum::new();
            losses.iter().for_each(|value| loss.add(value.value()));
            assert_eq!(sums.loss, loss);
        }
    }
}

fn check<T: Element>(problem: &Problem) {
    let data = Data::<T>::new(problem);
    let mut scales = vec![ColumnScale::ZERO; data.columns];
    let all = Features::rows(&data.x, data.rows(), data.columns).unwrap();
    if scan(&all, &mut scales).is_err() {
        assert!(data.x.iter().any(|x| !x.value().is_finite()));
        return;
    }
    let Ok(empty) = data.start(&scales) else {
        return;
    };
    check_scales(&data, &empty);
    // The definition: rows one by one, each from nothing.
    let mut expected: Result<Sums, Error> = Ok(empty.clone());
    for row in 0..data.rows() {
        let mut sums = empty.clone();
        let result = data.pick(&[row]).add_row(&mut sums);
        expected = expected.and_then(|mut whole| {
            result?;
            merge_all(&mut whole, &sums);
            Ok(whole)
        });
    }
    let mut random = Random(problem.seed ^ 0x55);
    let mut order: Vec<usize> = (0..data.rows()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    let backends: Vec<Backend> = Backend::available().collect();
    let mut found: Result<Sums, Error> = Ok(empty.clone());
    let mut left = &order[..];
    let rest = Part {
        rows: u8::MAX,
        backend: u8::MAX,
        columnar: false,
        gap: 0,
    };
    let mut parts = problem.parts.iter();
    while !left.is_empty() {
        let part = parts.next().unwrap_or(&rest);
        let (rows, others) = left.split_at(left.len().min(usize::from(part.rows) + 1));
        left = others;
        let mut sums = empty.clone();
        let backend = backends[usize::from(part.backend) % backends.len()];
        let gap = usize::from(part.gap % 8);
        let result = data.pick(rows).add(&mut sums, backend, part.columnar, gap);
        found = found.and_then(|mut whole| {
            result?;
            merge_all(&mut whole, &sums);
            Ok(whole)
        });
    }
    match (expected, found) {
        (Ok(expected), Ok(found)) => {
            if problem.operation.has_groups() {
                // Rows of other groups count in the sums of a pass over groups.
                let units = |sums: &Sums| -> Vec<i128> {
                    sums.columns.iter().map(ColumnSum::units).collect()
                };
                assert_eq!(units(&found), units(&expected));
                assert_eq!(found.loss, expected.loss);
            } else {
                assert_eq!(found, expected);
            }
            data.assert_values(&found);
        }
        (Err(expected), Err(found)) => {
            data.assert_expected(expected);
            data.assert_expected(found);
        }
        (expected, found) => panic!("{expected:?}, {found:?}"),
    }
}

/// A sum that was not started with the others is refused: what is checked of it is not what it can hold.
fn check_scales<T: Element>(data: &Data<'_, T>, started: &Sums) {
    let (which, column, factor) = data.problem.odd_one;
    let width = data.columns + usize::from(data.problem.intercept);
    for of_gram in [false, true] {
        let mut sums = started.clone();
        let set = if of_gram {
            &mut sums.gram
        } else {
            &mut sums.columns
        };
        if set.is_empty() {
            continue;
        }
        let count = set.len();
        let index = usize::from(which) % count;
        let mut bytes = set[index].to_bytes();
        for (at, more) in [(4, column), (6, factor)] {
            let exponent = i16::from_le_bytes([bytes[at], bytes[at + 1]]) + i16::from(more);
            bytes[at..at + 2].copy_from_slice(&exponent.to_le_bytes());
        }
        let Ok(changed) = ColumnSum::from_bytes(&bytes) else {
            continue;
        };
        set[index] = changed;
        let of_intercept = data.problem.intercept && index % width == data.columns && column < 0;
        let grouped = count > width && column != 0;
        let of_product = of_gram && count > 1 && column != 0;
        let alone = data.problem.operation.has_gram() && data.problem.operation.has_columns();
        let mismatch = factor != 0 && count > 1
            || of_intercept && !of_gram
            || grouped && !of_gram
            || of_product && column % 2 != 0
            || alone && !of_gram && column != 0;
        let result = data.add(&mut sums, Backend::detect(), false, 0);
        if mismatch {
            assert!(
                matches!(
                    result,
                    Err(Error::ScaleMismatch { .. } | Error::InvalidCoefficient { .. })
                ),
                "{index} of {count}: {result:?}"
            );
        }
    }
}

fn merge_all(to: &mut Sums, from: &Sums) {
    to.loss.merge(&from.loss);
    let read = |sums: &[ColumnSum]| -> Vec<ColumnSum> {
        sums.iter()
            .map(|sum| ColumnSum::from_bytes(&sum.to_bytes()).unwrap())
            .collect()
    };
    merge(&mut to.columns, &read(&from.columns)).unwrap();
    merge(&mut to.gram, &read(&from.gram)).unwrap();
}

fn check_bytes(first: &[u8], second: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut padded = [0; ColumnSum::BYTES];
        padded[..4].copy_from_slice(b"SBC\x01");
        for (to, from) in padded[4..].iter_mut().zip(bytes) {
            *to = *from;
        }
        let read = ColumnSum::from_bytes(&padded);
        if let Ok(sum) = read {
            assert_eq!(sum.to_bytes(), padded);
            assert!(sum.to_f64().is_finite());
        }
        read
    };
    if let Ok(sum) = ColumnSum::from_bytes(first) {
        assert_eq!(sum.to_bytes(), first);
    }
    if let (Ok(mut one), Ok(two)) = (read(first), read(second)) {
        let fits = one.column_exponent() == two.column_exponent()
            && one.factor_exponent() == two.factor_exponent();
        let rows = one.rows().checked_add(two.rows());
        let units = one.units() + two.units();
        let before = one;
        if one.merge(&two).is_ok() {
            assert!(fits && Some(one.rows()) == rows && one.units() == units);
        } else {
            assert!((!fits || rows.is_none()) && one == before);
        }
    }
}

fuzz_target!(|input: Input| {
    match &input {
        Input::Single(problem) => check::<f32>(problem),
        Input::Double(problem) => check::<f64>(problem),
        Input::Bytes(first, second) => check_bytes(first, second),
    }
});
