//! Right values, by mpmath with 50 digits (`cases/reference.py`): inputs on which this package, or another that is in
//! use, was once wrong, and public data.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fractional_logit::{
    Covariance, Data, Features, Fit, Model, Solver, State, Step, Task, WeightKind,
};
use serde_json::Value;

/// Relative, of every number.
const TOLERANCE: f64 = 1e-11;

/// The columns of a case, with rows of weight 0 left out where they hold no numbers.
struct Case {
    spec: Value,
    name: String,
    columns: Vec<Vec<f64>>,
    targets: Vec<f64>,
    trials: Option<Vec<f64>>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
    clusters: Option<Vec<u64>>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(directory().join("reference.json")).unwrap();
    let specs: Vec<Value> = serde_json::from_str(&text).unwrap();
    specs.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(spec: Value) -> Self {
        let text = |key: &str| spec.get(key).and_then(Value::as_str);
        let file = text("file").unwrap();
        let mut reader = csv::Reader::from_path(directory().join(file)).unwrap();
        let names: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(str::to_owned)
            .collect();
        let mut table: HashMap<&str, Vec<f64>> = HashMap::new();
        for record in reader.records() {
            for (name, field) in names.iter().zip(&record.unwrap()) {
                let number = field.parse().unwrap_or(f64::NAN);
                table.entry(name).or_default().push(number);
            }
        }
        let column = |name: &str| table[name].clone();
        let features = spec["features"].as_array().unwrap();
        let columns = features.iter().map(|feature| {
            let feature = feature.as_str().unwrap();
            let (base, power) = feature.split_once('^').unwrap_or((feature, "1"));
            let power = power.parse().unwrap();
            match base
                .strip_prefix("ln(")
                .and_then(|rest| rest.strip_suffix(')'))
            {
                Some(name) => column(name).iter().map(|x| x.ln().powi(power)).collect(),
                None => column(base).iter().map(|x| x.powi(power)).collect(),
            }
        });
        let targets = column(text("target").unwrap());
        let failures = text("failures").map(column);
        let trials = failures.map(|of| of.iter().zip(&targets).map(|(a, b)| a + b).collect());
        Self {
            name: format!("{file} {}", spec["features"]),
            columns: columns.collect(),
            trials: trials.or_else(|| text("trials").map(column)),
            targets,
            weights: text("weight").map(column),
            offset: text("offset").map(column),
            clusters: text("cluster").map(|name| column(name).iter().map(|x| *x as u64).collect()),
            spec,
        }
    }

    fn model(&self) -> Model {
        let mut model = Model::new().intercept(self.spec["constant"] != false);
        if let Some(ridge) = self.spec["ridge"].as_str() {
            model = model.ridge(ridge.parse().unwrap());
        }
        if self.spec["firth"] == true {
            model = model.firth();
        }
        model
    }

    /// `visit` with the data, in columns.
    fn with_data<R>(&self, visit: impl FnOnce(Data<'_, f64>) -> R) -> R {
        let slices: Vec<&[f64]> = self.columns.iter().map(Vec::as_slice).collect();
        let features = Features::columns(&slices, self.targets.len()).unwrap();
        let mut data = Data::new(features, &self.targets);
        if let Some(trials) = &self.trials {
            data = data.trials(trials);
        }
        if let Some(weights) = &self.weights {
            data = data.weights(weights);
        }
        if let Some(offset) = &self.offset {
            data = data.offset(offset);
        }
        if let Some(clusters) = &self.clusters {
            data = data.clusters(clusters);
        }
        visit(data)
    }

    fn fit(&self, model: &Model) -> Fit {
        self.with_data(|data| model.fit(&data))
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn right(&self, key: &str) -> Option<Vec<f64>> {
        let values = self.spec.get(key)?.as_array().unwrap();
        Some(
            values
                .iter()
                .map(|x| x.as_str().unwrap().parse().unwrap())
                .collect(),
        )
    }

    fn compare(&self, key: &str, ours: &[f64]) -> f64 {
        let Some(right) = self.right(key) else {
            return 0.0;
        };
        assert_eq!(ours.len(), right.len(), "{}: {key}", self.name);
        let differences = ours.iter().zip(&right).map(|(ours, right)| {
            // 1 less a quotient: it has no digits of its own near 0.
            let size = if key == "deviance_explained" {
                1.0
            } else {
                *right
            };
            let difference = ((ours - right) / size).abs();
            assert!(
                difference <= TOLERANCE,
                "{}: {key} is {ours:e} instead of {right:e}: {difference:.1e}",
                self.name
            );
            difference
        });
        differences.fold(0.0, f64::max)
    }
}

#[test]
fn all_numbers_are_right() {
    let mut worst = 0.0_f64;
    let cases = cases();
    assert!(cases.len() >= 27);
    for case in cases {
        let fit = case.fit(&case.model());
        let errors = |covariance| fit.standard_errors(covariance).unwrap_or_default();
        let of_counts = case.fit(&case.model().weight_kind(WeightKind::Frequency));
        let effects = fit.marginal_effects(Covariance::Hc0).unwrap();
        let columns = 0..case.columns.len();
        let changes: Vec<_> = columns
            .filter_map(|column| fit.change_effect(column, Covariance::Hc0))
            .collect();
        let of = |list: Option<f64>| list.into_iter().collect::<Vec<_>>();
        for (key, ours) in [
            ("coef", fit.coefficients().to_vec()),
            ("nonrobust", errors(Covariance::Nonrobust)),
            ("hc0", errors(Covariance::Hc0)),
            (
                "hc0_freq",
                of_counts.standard_errors(Covariance::Hc0).unwrap(),
            ),
            ("clustered", errors(Covariance::Clustered)),
            ("mean_loss", vec![fit.mean_loss()]),
            ("mean_excess", vec![fit.mean_excess()]),
            ("deviance_explained", of(fit.deviance_explained())),
            ("brier", vec![fit.brier_score()]),
            ("dispersion", of(fit.dispersion())),
            ("effects", effects.iter().map(|of| of.effect).collect()),
            ("changes", changes.iter().map(|of| of.effect).collect()),
            (
                "change_errors",
                changes.iter().map(|of| of.standard_error).collect(),
            ),
            (
                "effect_errors",
                effects.iter().map(|of| of.standard_error).collect(),
            ),
        ] {
            let difference = case.compare(key, &ours);
            worst = worst.max(difference);
        }
        println!("{} steps, {}", fit.steps(), case.name);
    }
    println!("largest relative difference: {worst:.1e}");
}

/// Whatever the order, the parts, the layout: the same bits.
#[test]
fn the_bits_depend_on_no_order_and_no_partition() {
    for case in cases() {
        let model = case.model();
        let fit = case.fit(&model);
        let bits = |fit: &Fit| -> Vec<u64> {
            let mut numbers = fit.coefficients().to_vec();
            for covariance in [
                Covariance::Hc0,
                Covariance::Nonrobust,
                Covariance::Clustered,
            ] {
                numbers.extend(fit.covariance(covariance).unwrap_or_default());
            }
            numbers.extend([fit.sum_loss(), fit.mean_excess(), fit.pearson()]);
            numbers.iter().map(|x| x.to_bits()).collect()
        };
        let expected = bits(&fit);
        let rows = case.targets.len();
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|row| (row * 7919) % 1009);
        let columns = case.columns.len();
        let pick = |of: &[f64]| order.iter().map(|&row| of[row]).collect::<Vec<f64>>();
        // Permuted, row-major with a gap.
        let stride = columns + 3;
        let mut matrix = vec![f64::NAN; rows * stride];
        for (to, &from) in order.iter().enumerate() {
            for (column, values) in case.columns.iter().enumerate() {
                matrix[to * stride + column] = values[from];
            }
        }
        let (targets, trials) = (pick(&case.targets), case.trials.as_deref().map(pick));
        let (weights, offset) = (
            case.weights.as_deref().map(pick),
            case.offset.as_deref().map(pick),
        );
        let clusters: Option<Vec<u64>> = case
            .clusters
            .as_ref()
            .map(|of| order.iter().map(|&row| of[row]).collect());
        let features = Features::strided(&matrix, rows, columns, stride).unwrap();
        let mut data = Data::new(features, &targets);
        if let Some(trials) = &trials {
            data = data.trials(trials);
        }
        if let Some(weights) = &weights {
            data = data.weights(weights);
        }
        if let Some(offset) = &offset {
            data = data.offset(offset);
        }
        if let Some(clusters) = &clusters {
            data = data.clusters(clusters);
        }
        for parts in 1..=8 {
            let mut solver: Solver = model.solver(columns).unwrap();
            let merged = loop {
                let length = rows.div_ceil(parts);
                // As another process would.
                let task = Task::from_bytes(&solver.task().to_bytes().unwrap()).unwrap();
                let states = (0..parts).map(|part| {
                    let rows = data.part(part * length..(part + 1) * length);
                    let state = task.evaluate(&rows).unwrap();
                    State::from_bytes(&state.to_bytes()).unwrap()
                });
                let mut states: Vec<_> = states.collect();
                let mut all = solver.task().start();
                if parts % 2 == 0 {
                    states.reverse();
                }
                for state in &states {
                    all.merge(state).unwrap();
                }
                if let Step::Done(fit) = solver.step(&all).unwrap() {
                    break fit;
                }
            };
            assert_eq!(bits(&merged), expected, "{parts} parts, {}", case.name);
        }
        let threads = model.clone().threads(2).fit(&data).unwrap();
        assert_eq!(bits(&threads), expected, "two threads, {}", case.name);
    }
}

/// At the minimum of an elastic net the mean gradient of a coefficient that is not 0 is the penalty's, and that of one
/// that is 0 does not exceed it.
#[test]
fn an_elastic_net_is_at_its_minimum() {
    let cases = cases();
    let mut zeros = 0;
    for (file, lambda, share) in [
        ("anes96.csv", 0.05, 1.0),
        ("anes96.csv", 0.01, 0.5),
        ("modechoice.csv", 0.5, 1.0),
        ("complete_separation.csv", 0.3, 0.9),
    ] {
        let case = cases
            .iter()
            .find(|case| case.name.starts_with(file))
            .unwrap();
        let fit = case.fit(&Model::new().elastic_net(lambda, share));
        let (constant, slopes) = fit.coefficients().split_first().unwrap();
        let rows = case.targets.len();
        let residuals: Vec<f64> = (0..rows)
            .map(|row| {
                let products = case.columns.iter().zip(slopes).map(|(x, b)| x[row] * b);
                let z = constant + products.sum::<f64>();
                soft_bce::scalar::gradient(z, case.targets[row]).unwrap()
            })
            .collect();
        let mean = |x: &dyn Fn(usize) -> f64| {
            (0..rows).map(|row| residuals[row] * x(row)).sum::<f64>() / rows as f64
        };
        assert!(mean(&|_| 1.0).abs() < 1e-13);
        for (x, &slope) in case.columns.iter().zip(slopes) {
            let gradient = mean(&|row| x[row]) + lambda * (1.0 - share) * slope;
            let largest = x.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            if slope == 0.0 {
                zeros += 1;
                assert!(gradient.abs() <= lambda * share, "{file}: {gradient}");
            } else {
                let off = gradient + lambda * share * slope.signum();
                assert!(off.abs() < 1e-13 * largest, "{file}: {off}");
            }
        }
    }
    assert!(zeros >= 4, "{zeros}");
}

/// The same fit of columns that have been divided by their standard deviations; the penalty path too.
#[test]
fn standardize_is_a_change_of_units() {
    const ROWS: usize = 40;
    let weights: Vec<f64> = (0..ROWS).map(|i| (1 + i % 3) as f64).collect();
    let targets: Vec<f64> = (0..ROWS).map(|i| (i * 37 % 101) as f64 / 100.0).collect();
    // Small, and far from 0, where the square of the mean has all digits of the variance.
    let columns: [Vec<f64>; 3] = [
        (0..ROWS).map(|i| (i * i % 23) as f64 * 1e-5).collect(),
        (0..ROWS).map(|i| 1.7e9 + (i * 7 % 31) as f64).collect(),
        (0..ROWS).map(|i| (i * 5 % 2) as f64).collect(),
    ];
    let total: f64 = weights.iter().sum();
    let deviations = columns.each_ref().map(|x| {
        let from = x[0];
        let mean = |of: &dyn Fn(f64) -> f64| -> f64 {
            let sum: f64 = x.iter().zip(&weights).map(|(x, w)| w * of(x - from)).sum();
            sum / total
        };
        let center = mean(&|x| x);
        mean(&|x| (x - center) * (x - center)).sqrt()
    });
    let divided: [Vec<f64>; 3] = std::array::from_fn(|column| {
        let from = columns[column][0];
        let of = columns[column].iter();
        of.map(|x| (x - from) / deviations[column]).collect()
    });
    let slices = |columns: &'_ [Vec<f64>; 3]| columns.each_ref().map(|of| of.as_slice().to_vec());
    let (raw, divided) = (slices(&columns), slices(&divided));
    let raw = raw.each_ref().map(Vec::as_slice);
    let divided = divided.each_ref().map(Vec::as_slice);
    let data = |columns| {
        let features = Features::columns(columns, ROWS).unwrap();
        Data::new(features, &targets).weights(&weights)
    };
    let close = |ours: f64, right: f64| {
        let difference = (ours - right).abs();
        assert!(
            difference <= 1e-10 * right.abs().max(1e-3),
            "{ours} {right}"
        );
    };
    for penalised in [
        Model::new().ridge(0.1),
        Model::new().elastic_net(0.01, 0.5),
        Model::new().elastic_net(0.02, 1.0),
    ] {
        let fit = penalised
            .clone()
            .standardize(true)
            .fit(&data(&raw))
            .unwrap();
        let right = penalised.fit(&data(&divided)).unwrap();
        for (column, deviation) in deviations.iter().enumerate() {
            close(
                fit.coefficients()[1 + column] * deviation,
                right.coefficients()[1 + column],
            );
        }
        // It does something: the first column is of 1e-4.
        let other = penalised.fit(&data(&raw)).unwrap();
        assert!((other.coefficients()[1] * deviations[0]).abs() < 1e-3);
    }
    let model = Model::new().standardize(true);
    let path = fractional_logit::cross_validate(&model, 1.0, &data(&raw), 4, 8).unwrap();
    assert!(path.points.windows(2).all(|of| of[0].lambda > of[1].lambda));
    let least = Model::new().elastic_net(path.points[0].lambda * 1.0001, 1.0);
    let fit = least.standardize(true).fit(&data(&raw)).unwrap();
    assert!(fit.coefficients()[1..].iter().all(|b| *b == 0.0));
    let more = Model::new().elastic_net(path.points[0].lambda * 0.999, 1.0);
    let fit = more.standardize(true).fit(&data(&raw)).unwrap();
    assert!(fit.coefficients()[1..].iter().any(|b| *b != 0.0));
}

/// A path's fits start where the one before ended, and end where others do.
#[test]
fn a_path_is_that_of_its_fits() {
    let cases = cases();
    let case = cases
        .iter()
        .find(|case| case.name.starts_with("statecrime.csv"))
        .unwrap();
    let path = case.with_data(|data| {
        let path = fractional_logit::cross_validate(&Model::new(), 0.9, &data, 2, 6).unwrap();
        let again = fractional_logit::cross_validate(&Model::new(), 0.9, &data, 2, 2).unwrap();
        // The last lambda of both, from another start.
        let (a, b) = (path.points[5], again.points[1]);
        assert!((a.mean_loss - b.mean_loss).abs() <= 1e-12, "{a:?} {b:?}");
        path
    });
    assert!(path.points[path.best].mean_loss < path.points[0].mean_loss);
}

/// Rows of weight 0 may hold anything: without them it is the same path.
#[test]
fn a_path_is_that_of_rows_with_a_weight() {
    let (x, t): (Vec<f64>, Vec<f64>) = (0..40)
        .map(|i| (f64::from(i * 7 % 40), f64::from(i * 3 % 11) / 11.0))
        .unzip();
    let few = Data::new(Features::rows(&x, 40, 1).unwrap(), &t).weights(&[1.0; 40]);
    let expected = fractional_logit::cross_validate(&Model::new(), 1.0, &few, 5, 4).unwrap();
    let (x, t) = (
        [&[f64::NAN; 3], &x[..]].concat(),
        [&[7.0; 3], &t[..]].concat(),
    );
    let weights = [&[0.0; 3][..], &[1.0; 40]].concat();
    let more = Data::new(Features::rows(&x, 43, 1).unwrap(), &t).weights(&weights);
    let path = fractional_logit::cross_validate(&Model::new(), 1.0, &more, 5, 4);
    assert_eq!(path, Ok(expected));
    let path = fractional_logit::cross_validate(&Model::new(), 1.0, &more, 41, 4);
    let (rows, needed) = (40, 41);
    assert_eq!(
        path,
        Err(fractional_logit::Error::TooFewRows { rows, needed })
    );
}
