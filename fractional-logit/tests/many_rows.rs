//! Many rows, by the linear head: as right as the exact sums, and the same bits however the rows lie, wherever they are
//! added, on every backend.

use fractional_logit::{Backend, Covariance, Data, Features, Fit, Model, Step, Value, WeightKind};

const ROWS: usize = 70_000;
const COLUMNS: usize = 8;

/// Small integers of a fixed sequence: the data is the same on every machine.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from((self.0 >> 44) as u32) / f64::from(1 << 20)
    }
}

/// In columns.
struct Rows<T> {
    columns: Vec<Vec<T>>,
    targets: Vec<T>,
    weights: Vec<T>,
    offset: Vec<T>,
    clusters: Vec<u64>,
}

fn rows<T: Value>() -> Rows<T> {
    let mut sequence = Sequence(1);
    let mut rows = Rows {
        columns: vec![Vec::new(); COLUMNS],
        targets: Vec::new(),
        weights: Vec::new(),
        offset: Vec::new(),
        clusters: Vec::new(),
    };
    for row in 0..ROWS {
        let mut z = -0.5;
        for (index, column) in rows.columns.iter_mut().enumerate() {
            // Scales from 10^-8 to 10^6.
            let scale = 10_f64.powi(2 * index as i32 - 8);
            let x = sequence.next() + sequence.next() - 1.0;
            z += x * (1.0 - 0.25 * index as f64);
            column.push(T::narrow(x * scale));
        }
        let offset = sequence.next() - 0.5;
        z += offset + 2.0 * (sequence.next() - 0.5);
        let p = 1.0 / (1.0 + (-z).exp());
        let t = if sequence.next() < 0.1 {
            p.round()
        } else {
            (p * 1000.0).round() / 1000.0
        };
        rows.targets.push(T::narrow(t));
        rows.weights.push(T::narrow((row % 5) as f64));
        rows.offset.push(T::narrow(offset));
        rows.clusters.push(row as u64 % 400);
    }
    rows
}

impl<T: Value> Rows<T> {
    fn permuted(&self) -> Self {
        let order: Vec<usize> = (0..ROWS).map(|row| (row * 33_331 + 17) % ROWS).collect();
        let pick = |of: &[T]| order.iter().map(|&row| of[row]).collect::<Vec<_>>();
        Self {
            columns: self.columns.iter().map(|column| pick(column)).collect(),
            targets: pick(&self.targets),
            weights: pick(&self.weights),
            offset: pick(&self.offset),
            clusters: order.iter().map(|&row| self.clusters[row]).collect(),
        }
    }

    fn row_major(&self) -> Vec<T> {
        (0..ROWS)
            .flat_map(|row| self.columns.iter().map(move |column| column[row]))
            .collect()
    }

    fn data<'a>(&'a self, features: Features<'a, T>) -> Data<'a, T> {
        Data::new(features, &self.targets)
            .weights(&self.weights)
            .offset(&self.offset)
            .clusters(&self.clusters)
    }
}

const ERRORS: [Covariance; 3] = [
    Covariance::Hc0,
    Covariance::Nonrobust,
    Covariance::Clustered,
];

fn numbers(fit: &Fit) -> Vec<f64> {
    let mut numbers = fit.coefficients().to_vec();
    for covariance in ERRORS {
        numbers.extend(fit.standard_errors(covariance).unwrap());
    }
    for effect in fit.marginal_effects(Covariance::Hc0).unwrap() {
        numbers.extend([effect.effect, effect.standard_error]);
    }
    let measures = [
        fit.mean_loss(),
        fit.mean_excess(),
        fit.brier_score(),
        fit.pearson(),
    ];
    numbers.extend(measures);
    numbers
}

fn bits(fit: &Fit) -> Vec<u64> {
    numbers(fit).iter().map(|x| x.to_bits()).collect()
}

fn in_parts<T: Value>(model: &Model, data: &Data<'_, T>, parts: usize) -> Fit {
    let mut solver = model.solver(COLUMNS).unwrap();
    loop {
        let length = ROWS.div_ceil(parts);
        let mut state = solver.task().start();
        for part in (0..parts).rev() {
            let of_part = data.part(part * length..(part + 1) * length);
            state
                .merge(&solver.task().evaluate(&of_part).unwrap())
                .unwrap();
        }
        if let Step::Done(fit) = solver.step(&state).unwrap() {
            return *fit;
        }
    }
}

fn one_hash<T: Value>() {
    let rows = rows::<T>();
    let permuted = rows.permuted();
    let slices: Vec<&[T]> = rows.columns.iter().map(Vec::as_slice).collect();
    let columns = Features::columns(&slices, ROWS).unwrap();
    let matrix = permuted.row_major();
    let row_major = Features::rows(&matrix, ROWS, COLUMNS).unwrap();
    let model = Model::new();
    let expected = bits(&model.fit(&rows.data(columns)).unwrap());
    let fits = [2, 8].map(|parts| in_parts(&model, &permuted.data(row_major), parts));
    for fit in &fits {
        assert_eq!(bits(fit), expected, "permuted, row-major, in parts");
    }
    let threads = model
        .clone()
        .threads(2)
        .fit(&permuted.data(row_major))
        .unwrap();
    assert_eq!(bits(&threads), expected, "two threads");
    let mut backends = 0;
    for backend in Backend::available() {
        let fit = model
            .clone()
            .backend(backend)
            .fit(&rows.data(columns))
            .unwrap();
        assert_eq!(bits(&fit), expected, "{}", backend.name());
        backends += 1;
    }
    assert!(backends >= 2);
}

#[test]
fn one_hash_of_f64() {
    one_hash::<f64>();
}

#[test]
fn one_hash_of_f32() {
    one_hash::<f32>();
}

/// With trials of 1 the exact sums are used, which `cases.rs` compares with 50 digits.
#[test]
fn agrees_with_the_exact_sums() {
    fn largest_difference<T: Value>(kind: WeightKind, ridge: f64) -> f64 {
        let rows = rows::<T>();
        let matrix = rows.row_major();
        let features = Features::rows(&matrix, ROWS, COLUMNS).unwrap();
        let ones = vec![T::narrow(1.0); ROWS];
        let model = Model::new().weight_kind(kind).ridge(ridge);
        let fast = numbers(&model.fit(&rows.data(features)).unwrap());
        let exact = numbers(&model.fit(&rows.data(features).trials(&ones)).unwrap());
        let pairs = fast.iter().zip(&exact);
        pairs
            .map(|(fast, exact)| ((fast - exact) / exact).abs())
            .fold(0.0, f64::max)
    }
    for (difference, tolerance) in [
        (largest_difference::<f64>(WeightKind::Sampling, 0.0), 1e-11),
        (
            largest_difference::<f64>(WeightKind::Frequency, 1e-6),
            1e-11,
        ),
        (largest_difference::<f32>(WeightKind::Sampling, 0.0), 1e-6),
        (largest_difference::<f32>(WeightKind::Frequency, 0.0), 1e-6),
    ] {
        println!("{difference:.1e}");
        assert!(difference <= tolerance, "{difference:e} > {tolerance:e}");
    }
}
