//! The linear head: whatever the order of the rows, the cuts, layouts, backends and merges, the sums are
//! those of the rows one by one; errors come whole; states from bytes are what `to_bytes` writes, and
//! merge or refuse to.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, gram_length, gram_scratch,
    merge, scan,
};
use soft_bce::{Backend, Bce, Error, LossSum, Real};

#[derive(Arbitrary, Debug)]
enum Input {
    Single(Problem),
    Double(Problem),
    Bytes(Vec<u8>, Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Problem {
    columns: u8,
    /// Rows are made of these, chosen by `seed`, and repeated.
    numbers: Vec<Number>,
    repeats: Vec<u8>,
    seed: u64,
    intercept: bool,
    weighted: bool,
    coefficients: bool,
    parts: Vec<Part>,
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
    fn of(value: f64) -> Self;
    fn is_finite(self) -> bool;
}
impl Element for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}
impl Element for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

struct Data<T> {
    columns: usize,
    x: Vec<T>,
    t: Vec<T>,
    weights: Vec<T>,
    coefficients: Vec<T>,
    intercept: bool,
    weighted: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Sums {
    loss: LossSum,
    gradient: Vec<ColumnSum>,
    gram: Vec<ColumnSum>,
}

const MOST_ROWS: usize = 600;

impl<T: Element> Data<T> {
    fn new(problem: &Problem) -> Self {
        let mut random = Random(problem.seed);
        let columns = usize::from(problem.columns % 20);
        let pick = |random: &mut Random| match problem.numbers.len() {
            0 => 0.5,
            count => problem.numbers[random.below(count)].value(),
        };
        let mut data = Self {
            columns,
            x: Vec::new(),
            t: Vec::new(),
            weights: Vec::new(),
            coefficients: (0..columns)
                .map(|_| {
                    if problem.coefficients {
                        pick(&mut random)
                    } else {
                        0.0
                    }
                })
                .map(T::of)
                .collect(),
            intercept: problem.intercept,
            weighted: problem.weighted,
        };
        for &repeat in &problem.repeats {
            let row: Vec<T> = (0..columns).map(|_| T::of(pick(&mut random))).collect();
            // Residuals with few bits where the logit is 0.
            let t = random.below(17) as f64 / 16.0;
            let weight = [0.0, 1.0, 0.75][random.below(3)];
            for _ in 0..repeat {
                if data.t.len() < MOST_ROWS {
                    data.x.extend_from_slice(&row);
                    data.t.push(T::of(t));
                    data.weights.push(T::of(weight));
                }
            }
        }
        data
    }

    fn rows(&self) -> usize {
        self.t.len()
    }

    fn pick(&self, rows: &[usize]) -> Self {
        let each = |of: &[T]| rows.iter().map(|&row| of[row]).collect();
        let row = |&row: &usize| &self.x[row * self.columns..][..self.columns];
        Self {
            x: rows.iter().flat_map(row).copied().collect(),
            t: each(&self.t),
            weights: each(&self.weights),
            coefficients: self.coefficients.clone(),
            ..*self
        }
    }

    fn head(&self, backend: Backend) -> Head<'_, T> {
        let mut bce = Bce::new().backend(backend).unwrap();
        if self.weighted {
            bce = bce.weights(&self.weights);
        }
        let head = Head::new(&self.coefficients).bce(bce);
        if self.intercept {
            head.intercept(T::of(0.0))
        } else {
            head
        }
    }

    fn start(&self, scales: &[ColumnScale]) -> Result<Sums, Error> {
        let head = self.head(Backend::Scalar);
        let mut gradient = vec![ColumnSum::default(); head.width()];
        head.start_gradient(scales, ColumnScale::ONE, &mut gradient)?;
        let mut gram = vec![ColumnSum::default(); gram_length(head.width())];
        head.start_gram(scales, ColumnScale::of(0.25)?, &mut gram)?;
        let loss = LossSum::new();
        Ok(Sums {
            loss,
            gradient,
            gram,
        })
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
            padded[row * stride..][..columns].copy_from_slice(&self.x[row * columns..][..columns]);
        }
        let x = if columnar {
            Features::columns(&slices, rows)
        } else {
            Features::strided(&padded, rows, columns, stride)
        }
        .unwrap();
        let head = self.head(backend);
        let before = sums.clone();
        let mut scratch = vec![f64::NAN; gradient_scratch(head.width())];
        let Sums {
            loss,
            gradient,
            gram,
        } = sums;
        let result = head.sum_gradient(&x, &self.t, loss, gradient, &mut scratch);
        if result.is_err() {
            assert_eq!((&*loss, &*gradient), (&before.loss, &before.gradient));
            return result;
        }
        let mut scratch = vec![f64::NAN; gram_scratch(head.width())];
        let result = head.gram(&x, &self.t, Factor::Hessian, gram, &mut scratch);
        if result.is_err() {
            assert_eq!(*gram, before.gram);
        }
        result
    }
}

fn check<T: Element>(problem: &Problem) {
    let data = Data::<T>::new(problem);
    let mut scales = vec![ColumnScale::ZERO; data.columns];
    let all = Features::rows(&data.x, data.rows(), data.columns).unwrap();
    if scan(&all, &mut scales).is_err() {
        assert!(data.x.iter().any(|x| !x.is_finite()));
        return;
    }
    let Ok(empty) = data.start(&scales) else {
        return;
    };
    // The definition: rows one by one, each from nothing.
    let mut expected: Result<Sums, Error> = Ok(empty.clone());
    for row in 0..data.rows() {
        let mut sums = empty.clone();
        let result = data.pick(&[row]).add(&mut sums, Backend::Scalar, false, 0);
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
        (Ok(expected), Ok(found)) => assert_eq!(found, expected),
        (expected, found) => assert_eq!(found.is_err(), expected.is_err()),
    }
}

fn merge_all(to: &mut Sums, from: &Sums) {
    to.loss.merge(&from.loss);
    let read = |sums: &[ColumnSum]| -> Vec<ColumnSum> {
        sums.iter()
            .map(|sum| ColumnSum::from_bytes(&sum.to_bytes()).unwrap())
            .collect()
    };
    merge(&mut to.gradient, &read(&from.gradient)).unwrap();
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
