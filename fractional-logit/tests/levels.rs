//! A category whose columns take no memory: the numbers of a fit with a column for each level, those of the closed form
//! where there is one, and the same bits however the rows lie.

use fractional_logit::{
    Covariance, Data, Error, Features, Fit, Model, Place, State, Step, Task, WeightKind,
};

const ROWS: usize = 900;
const LEVELS: u32 = 12;

/// In columns: a small one, and one that is far from 0, like years.
#[derive(Clone)]
struct Rows {
    columns: Vec<Vec<f64>>,
    levels: Vec<u32>,
    targets: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

fn rows() -> Rows {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from((state >> 44) as u32) / f64::from(1 << 20)
    };
    let mut rows = Rows {
        columns: vec![Vec::new(); 2],
        levels: Vec::new(),
        targets: Vec::new(),
        weights: Vec::new(),
        offset: Vec::new(),
    };
    for _ in 0..ROWS {
        // Some levels are rare.
        let level = (f64::from(LEVELS) * next() * next()) as u32;
        let (x, year) = (next() - 0.5, 1990.0 + (30.0 * next()).floor());
        let offset = next() - 0.5;
        let z = 2.0 * x - 0.05 * (year - 2005.0) + 0.3 * f64::from(level % 5) + offset - 1.0;
        let p = 1.0 / (1.0 + (-(z + 2.0 * (next() - 0.5))).exp());
        rows.columns[0].push(x);
        rows.columns[1].push(year);
        rows.levels.push(level);
        rows.targets.push((p * 1000.0).round() / 1000.0);
        rows.weights.push(f64::from((4.0 * next()) as u32));
        rows.offset.push(offset);
    }
    rows
}

impl Rows {
    fn permuted(&self) -> Self {
        let order: Vec<usize> = (0..ROWS).map(|row| (row * 541 + 17) % ROWS).collect();
        let pick = |of: &[f64]| order.iter().map(|&row| of[row]).collect::<Vec<_>>();
        Self {
            columns: self.columns.iter().map(|column| pick(column)).collect(),
            levels: order.iter().map(|&row| self.levels[row]).collect(),
            targets: pick(&self.targets),
            weights: pick(&self.weights),
            offset: pick(&self.offset),
        }
    }

    /// With a column for each level but the first.
    fn expanded(&self) -> Vec<Vec<f64>> {
        let of_level = |level: u32| {
            let is_it = self.levels.iter().map(|of| f64::from(*of == level));
            is_it.collect::<Vec<f64>>()
        };
        let mut columns = self.columns.clone();
        columns.extend((1..LEVELS).map(of_level));
        columns
    }

    fn data<'a>(&'a self, features: Features<'a, f64>) -> Data<'a, f64> {
        Data::new(features, &self.targets)
            .weights(&self.weights)
            .offset(&self.offset)
    }
}

fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

const ERRORS: [Covariance; 4] = [
    Covariance::Nonrobust,
    Covariance::Quasi,
    Covariance::Hc0,
    Covariance::Hc1,
];

fn numbers(fit: &Fit) -> Vec<f64> {
    let mut numbers = fit.coefficients().to_vec();
    for covariance in ERRORS {
        numbers.extend(fit.standard_errors(covariance).unwrap());
        numbers.extend(fit.covariance(covariance).unwrap());
        for effect in fit.marginal_effects(covariance).unwrap() {
            numbers.extend([effect.effect, effect.standard_error]);
        }
    }
    numbers.extend([fit.mean_loss(), fit.mean_excess(), fit.pearson()]);
    numbers
}

#[test]
fn equals_a_column_for_each_level() {
    let rows = rows();
    let expanded = rows.expanded();
    let (narrow, wide) = (slices(&rows.columns), slices(&expanded));
    let narrow = Features::columns(&narrow, ROWS).unwrap();
    let wide = Features::columns(&wide, ROWS).unwrap();
    let mut worst = 0.0_f64;
    for (model, trials) in [
        (Model::new(), false),
        (Model::new().intercept(false), false),
        (Model::new().ridge(0.01), true),
        (Model::new().weight_kind(WeightKind::Frequency), false),
    ] {
        let twos = vec![2.0; ROWS];
        let of = |features| {
            let data = rows.data(features);
            if trials { data.trials(&twos) } else { data }
        };
        let fit = model
            .clone()
            .levels(LEVELS)
            .fit(&of(narrow).levels(&rows.levels))
            .unwrap();
        let expected = model.fit(&of(wide)).unwrap();
        let (ours, right) = (numbers(&fit), numbers(&expected));
        assert_eq!(ours.len(), right.len());
        // Elements of a covariance may be near 0 for what is on the diagonal.
        for (ours, right) in ours.iter().zip(&right) {
            let difference = (ours - right).abs() / right.abs().max(1e-6);
            assert!(difference <= 1e-11, "{ours:e} instead of {right:e}");
            worst = worst.max(difference);
        }
        let few = narrow.part(0..50);
        let (levels, offset) = (Some(&rows.levels[..50]), Some(&rows.offset[..50]));
        let ours = fit.predict_at_levels(&few, levels, offset, Covariance::Hc0);
        let right = expected.predict(&wide.part(0..50), offset, Covariance::Hc0);
        for (ours, right) in ours.unwrap().iter().zip(right.unwrap()) {
            assert!((ours.logit - right.logit).abs() <= 1e-11);
            let error = right.standard_error;
            assert!((ours.standard_error - error).abs() <= 1e-11 * error);
        }
        // As a saved model has it.
        let text = serde_json::to_string(&fit).unwrap();
        let read: Fit = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers(&read), numbers(&fit));
        assert!(
            serde_json::from_str::<Fit>(&text.replace("\"shares\":[[", "\"shares\":[[],["))
                .is_err()
        );
    }
    println!("largest relative difference: {worst:.1e}");
}

/// A category alone: the logit of each level's mean, and the errors of means.
#[test]
fn a_category_alone_has_a_closed_form() {
    const LEVELS: usize = 1000;
    let (mut levels, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..20 * LEVELS {
        let level = row * 7919 % LEVELS;
        levels.push(level as u32);
        targets.push(((row * 31 + level * level) % 1009) as f64 / 1008.0 / (1 + level % 50) as f64);
        // Those of some levels are below the units of the sums.
        let tiny = 2.0_f64.powi(if level % 7 == 3 { -60 } else { 0 });
        weights.push((1 + row % 3) as f64 * tiny);
    }
    let features = Features::rows(&[], levels.len(), 0).unwrap();
    let data = Data::new(features, &targets)
        .weights(&weights)
        .levels(&levels);
    let fit = Model::new().levels(LEVELS as u32).fit(&data).unwrap();
    let (mut weight, mut sum) = (vec![0.0; LEVELS], vec![0.0; LEVELS]);
    let each = || levels.iter().zip(&targets).zip(&weights);
    for ((level, t), w) in each() {
        weight[*level as usize] += w;
        sum[*level as usize] += w * t;
    }
    let mean: Vec<f64> = sum.iter().zip(&weight).map(|(s, w)| s / w).collect();
    let mut meat = vec![0.0; LEVELS];
    for ((level, t), w) in each() {
        let score = w * (mean[*level as usize] - t);
        meat[*level as usize] += score * score;
    }
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let bread: Vec<f64> = (0..LEVELS)
        .map(|k| 1.0 / (weight[k] * mean[k] * (1.0 - mean[k])))
        .collect();
    let robust: Vec<f64> = (0..LEVELS).map(|k| bread[k] * bread[k] * meat[k]).collect();
    let nonrobust_errors = fit.standard_errors(Covariance::Nonrobust).unwrap();
    let robust_errors = fit.standard_errors(Covariance::Hc0).unwrap();
    for level in 0..LEVELS {
        let against = if level == 0 { 0.0 } else { 1.0 };
        let size = logit(mean[level]).abs() + logit(mean[0]).abs();
        let right = logit(mean[level]) - against * logit(mean[0]);
        assert!((fit.coefficients()[level] - right).abs() <= 1e-13 * size);
        for (errors, variances) in [(&nonrobust_errors, &bread), (&robust_errors, &robust)] {
            let right = (variances[level] + against * variances[0]).sqrt();
            assert!(
                (errors[level] - right).abs() <= 1e-12 * right,
                "level {level}"
            );
        }
    }
}

/// What a column has in common in all rows of a level is the level's: nothing else changes, however large it is. Where
/// only levels of tiny weight tell the slope, robust errors, of squares of weights, are not that exact.
#[test]
fn what_is_the_same_in_a_level_changes_nothing_else() {
    let fit = |rows: &Rows| {
        let columns = slices(&rows.columns);
        let features = Features::columns(&columns, ROWS).unwrap();
        let data = Data::new(features, &rows.targets)
            .weights(&rows.weights)
            .levels(&rows.levels);
        let fit = Model::new().levels(LEVELS).fit(&data).unwrap();
        let mut numbers = vec![fit.coefficients()[1], fit.mean_loss(), fit.pearson()];
        numbers.extend(ERRORS.map(|of| fit.standard_errors(of).unwrap()[1]));
        numbers
    };
    for is_tiny in [false, true] {
        let mut rows = rows();
        rows.columns.truncate(1);
        for (row, x) in rows.columns[0].iter_mut().enumerate() {
            *x = (*x * 1024.0).round() / 1024.0;
            if is_tiny && rows.levels[row] % 3 == 1 {
                rows.weights[row] *= 2.0_f64.powi(-44);
            } else if is_tiny {
                *x = 0.0;
            }
        }
        let right = fit(&rows);
        let (sizes, checked): (&[f64], usize) = match is_tiny {
            true => (&[4.0, 1024.0], 5),
            false => (&[4.0, 1024.0, 1_048_576.0], right.len()),
        };
        for size in sizes {
            let mut moved = rows.clone();
            for (x, level) in moved.columns[0].iter_mut().zip(&rows.levels) {
                *x += size * f64::from(*level * 5 % 7);
            }
            for (ours, right) in fit(&moved).iter().zip(&right).take(checked) {
                let difference = (ours - right).abs() / right.abs();
                assert!(difference <= 1e-11, "{ours:e} instead of {right:e}");
            }
        }
    }
}

#[test]
fn the_bits_depend_on_no_order_and_no_partition() {
    let (rows, permuted) = (rows(), rows().permuted());
    let columns = slices(&rows.columns);
    let columns = Features::columns(&columns, ROWS).unwrap();
    let matrix: Vec<f64> = (0..ROWS)
        .flat_map(|row| permuted.columns.iter().map(move |column| column[row]))
        .collect();
    let row_major = Features::rows(&matrix, ROWS, 2).unwrap();
    let model = Model::new().levels(LEVELS);
    let bits = |fit: &Fit| -> Vec<u64> { numbers(fit).iter().map(|x| x.to_bits()).collect() };
    let fit = model.fit(&rows.data(columns).levels(&rows.levels)).unwrap();
    let expected = bits(&fit);
    let data = permuted.data(row_major).levels(&permuted.levels);
    for parts in 1..=8 {
        let mut solver = model.solver(2).unwrap();
        let length = ROWS.div_ceil(parts);
        let fit = loop {
            let task = Task::from_bytes(&solver.task().to_bytes().unwrap()).unwrap();
            let mut all = task.start();
            for part in (0..parts).rev() {
                let state = task.evaluate(&data.part(part * length..(part + 1) * length));
                let bytes = state.unwrap().to_bytes();
                all.merge(&State::from_bytes(&bytes).unwrap()).unwrap();
            }
            if let Step::Done(fit) = solver.step(&all).unwrap() {
                break fit;
            }
        };
        assert_eq!(bits(&fit), expected, "{parts} parts");
    }
    let threads = model.clone().threads(2).fit(&data).unwrap();
    assert_eq!(bits(&threads), expected, "two threads");
    // The check can fail.
    let mut other = permuted.targets.clone();
    other[5] += 1e-9;
    let changed = Data::new(row_major, &other).weights(&permuted.weights);
    let changed = changed.offset(&permuted.offset).levels(&permuted.levels);
    assert_ne!(
        bits(&model.fit(&changed).unwrap()),
        bits(&model.fit(&data).unwrap())
    );
}

#[test]
fn refuses_what_has_no_fit() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let features = Features::rows(&x, 6, 1).unwrap();
    let targets = [0.2, 0.4, 0.3, 0.6, 0.9, 0.7];
    let levels = [0, 0, 1, 1, 2, 2];
    let fit = |model: Model, targets: &[f64], levels: &[u32]| {
        let features = Features::<f64>::rows(&[], 6, 0).unwrap();
        model.fit(&Data::new(features, targets).levels(levels))
    };
    let three = || Model::new().levels(3);
    assert!(fit(three(), &targets, &levels).is_ok());
    let empty = fit(Model::new().levels(4), &targets, &levels).unwrap_err();
    assert_eq!(empty, Error::EmptyLevel { level: 3 });
    let beyond = fit(Model::new().levels(2), &targets, &levels).unwrap_err();
    let expected = "below the number of levels";
    let (of, row, value) = (Place::Level, 4, 2.0);
    assert_eq!(
        beyond,
        Error::Value {
            of,
            row,
            value,
            expected
        }
    );
    let ones = [0.2, 0.4, 1.0, 1.0, 0.9, 0.7];
    let (level, target, rows) = (1, 1.0, 2);
    let separated = Error::LevelSeparated {
        level,
        target,
        rows,
    };
    assert_eq!(fit(three(), &ones, &levels).unwrap_err(), separated);
    assert!(fit(three().ridge(0.01), &ones, &levels).is_ok());
    for model in [three().firth(), three().elastic_net(0.1, 1.0)] {
        let refused = fit(model, &targets, &levels);
        assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    }
    let clusters = [0, 0, 0, 1, 1, 1];
    let data = Data::new(features, &targets)
        .levels(&levels)
        .clusters(&clusters);
    assert!(matches!(
        three().fit(&data),
        Err(Error::InvalidOption { .. })
    ));
    for model in [Model::new(), three()] {
        let mut data = Data::new(features, &targets);
        if model == Model::new() {
            data = data.levels(&levels);
        }
        assert!(matches!(model.fit(&data), Err(Error::InvalidOption { .. })));
    }
    // 2 + 3 of level 1, - 0.5 of level 2; the reference has the constant.
    let within = [2.0, 2.0, 5.0, 5.0, 1.5, 1.5];
    let data = Data::new(Features::rows(&within, 6, 1).unwrap(), &targets).levels(&levels);
    match three().fit(&data) {
        Err(Error::Collinear {
            column: 0,
            constant,
            combination,
        }) => {
            assert!((constant - 2.0).abs() < 1e-12);
            let columns: Vec<usize> = combination.iter().map(|of| of.0).collect();
            assert_eq!(columns, [1, 2]);
            assert!((combination[0].1 - 3.0).abs() < 1e-12);
            assert!((combination[1].1 + 0.5).abs() < 1e-12);
        }
        other => panic!("{other:?}"),
    }
    // Each level has both classes, which the feature separates.
    let classes = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
    let data = Data::new(features, &classes).levels(&levels);
    let Err(Error::Separation {
        columns, rows: 6, ..
    }) = three().fit(&data)
    else {
        panic!("separated");
    };
    assert_eq!(columns[0], 0);
}

/// Where nothing is curved at the start there is no step, and nothing is collinear.
#[test]
fn refuses_a_start_without_curvature() {
    let (x, targets, levels) = ([1.0, 2.0, 4.0, 3.0], [0.2, 0.4, 0.3, 0.6], [0, 1, 0, 1]);
    let fit = |model: Model, columns, offset, weights: &[f64; 4]| {
        let features = Features::rows(&x[..4 * columns], 4, columns).unwrap();
        let offset = [offset; 4];
        let data = Data::new(features, &targets)
            .offset(&offset)
            .weights(weights);
        let has_levels = model == Model::new().levels(2);
        model.fit(&if has_levels {
            data.levels(&levels)
        } else {
            data
        })
    };
    for columns in [0, 1] {
        for levels in [0, 2] {
            let model = || Model::new().levels(levels);
            for offset in [1000.0, -1000.0] {
                let found = fit(model(), columns, offset, &[1.0; 4]);
                assert_eq!(found.unwrap_err(), Error::OutOfRange);
            }
            let greatest = 5e-324;
            let found = fit(model(), columns, 0.0, &[greatest; 4]);
            assert_eq!(found.unwrap_err(), Error::WeightsTooSmall { greatest });
        }
    }
    let found = fit(Model::new().intercept(false), 1, 1000.0, &[1.0; 4]);
    assert_eq!(found.unwrap_err(), Error::OutOfRange);
    // Some rows' alone: what is curved has no variation.
    let features = Features::rows(&x, 4, 1).unwrap();
    let offset = [0.0, 1e300, -1e300, 750.0];
    let found = Model::new().fit(&Data::new(features, &targets).offset(&offset));
    assert_eq!(found.unwrap_err(), Error::OutOfRange);
    // The reference of all others weighs nothing beside them; another level may.
    let found = fit(Model::new().levels(2), 0, 0.0, &[1e-30, 1.0, 1e-30, 1.0]);
    let (steps, column) = (0, None);
    assert_eq!(found.unwrap_err(), Error::NoConvergence { steps, column });
    assert!(fit(Model::new().levels(2), 0, 0.0, &[1.0, 1e-30, 1.0, 1e-30]).is_ok());
}
