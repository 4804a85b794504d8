//! Every operation with every error: which error is named, and what it leaves behind. The table
//! in `docs/errors.md` is what was seen; `WRITE=1` writes it anew.

use soft_bce::{Backend, Bce, Error, Focal, LossSum, SquaredError, probability};

#[path = "errors/linear.rs"]
mod linear;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
const HEADER: &str = "\
# What an error leaves behind

Seen by `tests/errors.rs`, which fails where it differs from the rule: every element of every output slice
is NaN; inputs, in-place buffers and a `LossSum` are as they were. Where several things are wrong, an error
further to the left is the one returned. \"—\": the operation has no such error.

";

/// The data of a call.
#[derive(Clone)]
struct Case {
    z: Vec<f64>,
    t: Vec<f64>,
    weights: Option<Vec<f64>>,
    row_weights: Option<Vec<f64>>,
    pos_weights: Option<Vec<f64>>,
    outputs: [Vec<f64>; 3],
    sum: LossSum,
    pos_weight: f64,
    label_smoothing: f64,
    target_tolerance: f64,
    excess: bool,
    backend: Backend,
}

impl Case {
    fn valid(length: usize, backend: Backend) -> Self {
        let mut sum = LossSum::new();
        sum.add(1.5);
        Self {
            z: vec![0.25; length],
            t: vec![0.5; length],
            weights: None,
            row_weights: None,
            pos_weights: None,
            outputs: std::array::from_fn(|_| vec![7.0; length]),
            sum,
            pos_weight: 1.0,
            label_smoothing: 0.0,
            target_tolerance: 0.0,
            excess: false,
            backend,
        }
    }
}

type Run = fn(Bce<'_, f64>, &mut [f64], &[f64], [&mut [f64]; 3], &mut LossSum) -> Result<(), Error>;

struct Operation {
    name: &'static str,
    outputs: &'static [&'static str],
    takes: Takes,
    run: Run,
}

#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Options,
    /// And divides.
    OptionsForMean,
    Target,
    /// A target and a probability.
    Probabilities,
    /// A probability for the target.
    Probability,
    Nothing,
}

impl Takes {
    fn options(self) -> bool {
        matches!(self, Self::Options | Self::OptionsForMean)
    }
}

macro_rules! operations {
    ($($name:literal, $outputs:expr, $takes:ident,
        |$bce:pat_param, $z:pat_param, $t:pat_param, $out:pat_param, $sum:pat_param| $run:expr;)*) => {
        [$(Operation {
            name: $name,
            outputs: &$outputs,
            takes: Takes::$takes,
            run: |$bce, $z, $t, $out, $sum| $run.map(drop),
        }),*]
    };
}

fn operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = operations! {
        "loss", ["loss"], Options, |bce, z, t, [a, ..], _| bce.loss(z, t, a);
        "sum", [], Options, |bce, z, t, _, _| bce.sum(z, t);
        "mean", [], OptionsForMean, |bce, z, t, _, _| bce.mean(z, t);
        "gradient", ["gradient"], Options, |bce, z, t, [a, ..], _| bce.gradient(z, t, a);
        "gradient_in_place", [], Options, |bce, z, t, _, _| bce.gradient_in_place(z, t);
        "sum_gradient", ["gradient"], Options, |bce, z, t, [a, ..], _| bce.sum_gradient(z, t, a);
        "mean_gradient", ["gradient"], OptionsForMean,
            |bce, z, t, [a, ..], _| bce.mean_gradient(z, t, a);
        "gradient_hessian", ["gradient", "hessian"], Options,
            |bce, z, t, [a, b, _], _| bce.gradient_hessian(z, t, a, b);
        "sum_gradient_hessian", ["gradient", "hessian"], Options,
            |bce, z, t, [a, b, _], _| bce.sum_gradient_hessian(z, t, a, b);
        "loss_gradient", ["loss", "gradient"], Options,
            |bce, z, t, [a, b, _], _| bce.loss_gradient(z, t, a, b);
        "loss_gradient_hessian", ["loss", "gradient", "hessian"], Options,
            |bce, z, t, [a, b, c], _| bce.loss_gradient_hessian(z, t, a, b, c);
        "accumulate", [], Options, |bce, z, t, _, sum| bce.accumulate(z, t, sum);
        "accumulate_gradient", ["gradient"], Options,
            |bce, z, t, [a, ..], sum| bce.accumulate_gradient(z, t, sum, a);
        "accumulate_gradient_hessian", ["gradient", "hessian"], Options,
            |bce, z, t, [a, b, _], sum| bce.accumulate_gradient_hessian(z, t, sum, a, b);
    }
    .into();
    #[cfg(feature = "rayon")]
    all.extend(operations! {
        "par_loss", ["loss"], Options, |bce, z, t, [a, ..], _| bce.par_loss(z, t, a);
        "par_sum", [], Options, |bce, z, t, _, _| bce.par_sum(z, t);
        "par_mean", [], OptionsForMean, |bce, z, t, _, _| bce.par_mean(z, t);
        "par_gradient", ["gradient"], Options, |bce, z, t, [a, ..], _| bce.par_gradient(z, t, a);
        "par_sum_gradient", ["gradient"], Options,
            |bce, z, t, [a, ..], _| bce.par_sum_gradient(z, t, a);
        "par_mean_gradient", ["gradient"], OptionsForMean,
            |bce, z, t, [a, ..], _| bce.par_mean_gradient(z, t, a);
        "par_gradient_hessian", ["gradient", "hessian"], Options,
            |bce, z, t, [a, b, _], _| bce.par_gradient_hessian(z, t, a, b);
        "par_sum_gradient_hessian", ["gradient", "hessian"], Options,
            |bce, z, t, [a, b, _], _| bce.par_sum_gradient_hessian(z, t, a, b);
        "par_accumulate", [], Options, |bce, z, t, _, sum| bce.par_accumulate(z, t, sum);
    });
    all.extend(operations! {
        "sigmoid", ["out"], Nothing, |_, z, _, [a, ..], _| soft_bce::sigmoid(z, a);
        "log_sigmoid", ["out"], Nothing, |_, z, _, [a, ..], _| soft_bce::log_sigmoid(z, a);
        "softplus", ["out"], Nothing, |_, z, _, [a, ..], _| soft_bce::softplus(z, a);
        "logit", ["out"], Probability, |_, _, t, [a, ..], _| soft_bce::logit(t, a);
        "exact::sigmoid", ["out"], Nothing,
            |_, z, _, [a, ..], _| of_f32(soft_bce::exact::sigmoid, z, a);
        "exact::log_sigmoid", ["out"], Nothing,
            |_, z, _, [a, ..], _| of_f32(soft_bce::exact::log_sigmoid, z, a);
        "exact::softplus", ["out"], Nothing,
            |_, z, _, [a, ..], _| of_f32(soft_bce::exact::softplus, z, a);
        "logit_targets().loss_gradient_hessian", ["loss", "gradient", "hessian"], Options,
            |bce, z, t, [a, b, c], _| bce.logit_targets().loss_gradient_hessian(z, t, a, b, c);
        "temperature().mean_gradient", ["gradient"], OptionsForMean,
            |bce, z, t, [a, ..], _| bce.temperature(2.0).mean_gradient(z, t, a);
        "SquaredError::loss_gradient_hessian", ["loss", "gradient", "hessian"], Options,
            |bce, z, t, [a, b, c], _| bce.loss_gradient_hessian(z, t, a, b, c);
        "SquaredError::mean", [], OptionsForMean, |bce, z, t, _, _| bce.mean(z, t);
        "Focal::loss_gradient", ["loss", "gradient"], Options,
            |bce, z, t, [a, b, _], _| bce.loss_gradient(z, t, a, b);
        "Focal::accumulate_gradient", ["gradient"], Options,
            |bce, z, t, [a, ..], sum| bce.accumulate_gradient(z, t, sum, a);
        "probability::loss", ["loss"], Probabilities,
            |_, p, y, [a, ..], _| probability::loss(y, p, a);
        "probability::sum", [], Probabilities, |_, p, y, _, _| probability::sum(y, p);
        "probability::mean", [], Probabilities, |_, p, y, _, _| probability::mean(y, p);
        "probability::gradient", ["gradient"], Probabilities,
            |_, p, y, [a, ..], _| probability::gradient(y, p, a);
        "scalar::loss", [], Target, |_, z, t, _, _| first(z, t, soft_bce::scalar::loss);
        "scalar::gradient", [], Target, |_, z, t, _, _| first(z, t, soft_bce::scalar::gradient);
    });
    all
}

fn of_f32(
    function: fn(&[f32], &mut [f32]) -> Result<(), Error>,
    z: &[f64],
    out: &mut [f64],
) -> Result<(), Error> {
    let z: Vec<f32> = z.iter().map(|&z| z as f32).collect();
    let mut single = vec![7.0; out.len()];
    let result = function(&z, &mut single);
    out.iter_mut()
        .zip(single)
        .for_each(|(to, from)| *to = f64::from(from));
    result
}

/// The functions of one element on the first that they refuse.
fn first(z: &[f64], t: &[f64], function: fn(f64, f64) -> Result<f64, Error>) -> Result<(), Error> {
    z.iter()
        .zip(t)
        .try_for_each(|(&z, &t)| function(z, t).map(drop))
}

/// Something wrong with a call, in the order in which it is looked for.
struct Fault {
    name: &'static str,
    possible: fn(&Operation) -> bool,
    plant: fn(&mut Case),
    names: fn(&Error) -> bool,
}

/// By its place in a slice: 1 too many or too few.
fn shorten(of: &mut Vec<f64>) {
    if of.pop().is_none() {
        of.push(0.5);
    }
}

macro_rules! names {
    ($pattern:pat $(if $guard:expr)?) => { |error| matches!(error, $pattern $(if $guard)?) };
}

fn faults() -> Vec<Fault> {
    let takes_options: fn(&Operation) -> bool = |operation| operation.takes.options();
    vec![
        Fault {
            name: "`t` has another length",
            possible: takes_options,
            plant: |case| shorten(&mut case.t),
            names: names!(Error::LengthMismatch { argument: "t", .. }),
        },
        Fault {
            name: "`weights` have another length",
            possible: takes_options,
            plant: |case| {
                let mut weights = vec![1.0; case.z.len()];
                shorten(&mut weights);
                case.weights = Some(weights);
            },
            names: names!(Error::LengthMismatch {
                argument: "weights",
                ..
            }),
        },
        Fault {
            name: "an output has another length",
            possible: |operation| !operation.outputs.is_empty(),
            plant: |case| shorten(&mut case.outputs[0]),
            names: names!(Error::LengthMismatch { argument, .. }
                if ["loss", "gradient", "out"].contains(argument)),
        },
        Fault {
            name: "the second output has",
            possible: |operation| operation.outputs.len() > 1,
            plant: |case| shorten(&mut case.outputs[1]),
            names: names!(Error::LengthMismatch { argument, .. }
                if ["gradient", "hessian"].contains(argument)),
        },
        Fault {
            name: "the third output has",
            possible: |operation| operation.outputs.len() > 2,
            plant: |case| shorten(&mut case.outputs[2]),
            names: names!(Error::LengthMismatch {
                argument: "hessian",
                ..
            }),
        },
        Fault {
            name: "`pos_weights` do not divide them",
            possible: takes_options,
            plant: |case| case.pos_weights = Some(vec![1.0; case.z.len() + 1]),
            names: names!(Error::LengthMismatch {
                argument: "pos_weights",
                ..
            }),
        },
        Fault {
            name: "`row_weights` do not",
            possible: takes_options,
            plant: |case| case.row_weights = Some(vec![1.0; case.z.len() + 1]),
            names: names!(Error::LengthMismatch {
                argument: "row_weights",
                ..
            }),
        },
        Fault {
            name: "an option is out of its range",
            possible: takes_options,
            plant: |case| case.pos_weight = 0.0,
            names: names!(Error::InvalidOption {
                option: "pos_weight",
                range: "finite and > 0",
                ..
            }),
        },
        Fault {
            name: "the `pos_weight` of a class",
            possible: takes_options,
            plant: |case| case.pos_weights = Some(vec![0.0]),
            names: names!(Error::InvalidPosWeight {
                class: 0,
                value: 0.0
            }),
        },
        Fault {
            name: "the weight of a row",
            possible: takes_options,
            plant: |case| {
                let mut rows = vec![1.0; case.z.len()];
                rows.last_mut().into_iter().for_each(|row| *row = -1.0);
                case.row_weights = Some(rows);
            },
            names: names!(Error::InvalidRowWeight { value: -1.0, .. }),
        },
        Fault {
            name: "options exclude each other",
            possible: takes_options,
            plant: |case| (case.excess, case.label_smoothing) = (true, 0.5),
            names: names!(Error::UnsupportedOptions { .. }),
        },
        Fault {
            name: "nothing to divide by",
            possible: |operation| operation.takes == Takes::OptionsForMean,
            plant: |case| case.weights = Some(vec![0.0; case.z.len()]),
            names: names!(Error::Empty),
        },
        Fault {
            name: "a probability",
            possible: |operation| operation.takes == Takes::Probabilities,
            plant: |case| *case.z.last_mut().expect("not empty") = 1.5,
            names: names!(Error::ProbabilityOutOfRange { value: 1.5, .. }),
        },
        Fault {
            name: "a target",
            possible: |operation| operation.takes != Takes::Nothing,
            plant: |case| {
                let middle = case.t.len() / 2;
                case.t
                    .get_mut(middle)
                    .into_iter()
                    .for_each(|t| *t = f64::NAN);
            },
            names: names!(Error::TargetOutOfRange { value, .. } if value.is_nan()),
        },
        Fault {
            name: "a weight",
            possible: takes_options,
            plant: |case| {
                let mut weights = vec![1.0; case.z.len()];
                // Behind the bad target.
                weights
                    .last_mut()
                    .into_iter()
                    .for_each(|weight| *weight = -1.0);
                case.weights = Some(weights);
            },
            names: names!(Error::InvalidWeight { value: -1.0, .. }),
        },
    ]
}

fn bits(of: &[f64]) -> Vec<u64> {
    of.iter().map(|x| x.to_bits()).collect()
}

/// Runs the operation on the case: the result, and what became of it all, in words.
fn run(operation: &Operation, case: &Case) -> (Result<(), Error>, String) {
    let mut after = case.clone();
    let bce = match operation.name.split("::").next() {
        Some("SquaredError") => *SquaredError::new(),
        Some("Focal") => *Focal::new(2.0),
        _ => Bce::new(),
    };
    let mut bce = bce
        .backend(case.backend)
        .unwrap()
        .pos_weight(case.pos_weight)
        .label_smoothing(case.label_smoothing)
        .target_tolerance(case.target_tolerance);
    if let Some(weights) = &case.weights {
        bce = bce.weights(weights);
    }
    if let Some(row_weights) = &case.row_weights {
        bce = bce.row_weights(row_weights);
    }
    if let Some(pos_weights) = &case.pos_weights {
        bce = bce.pos_weights(pos_weights);
    }
    if case.excess {
        bce = bce.excess();
    }
    let [a, b, c] = &mut after.outputs;
    let result = (operation.run)(bce, &mut after.z, &after.t, [a, b, c], &mut after.sum);
    assert_eq!(bits(&case.t), bits(&after.t));
    let mut states = Vec::new();
    for (i, (before, after)) in case.outputs.iter().zip(&after.outputs).enumerate() {
        let Some(name) = operation.outputs.get(i) else {
            assert_eq!(bits(before), bits(after), "{}", operation.name);
            continue;
        };
        let state = if after.iter().all(|x| x.is_nan()) {
            "NaN"
        } else if bits(before) == bits(after) {
            "as before"
        } else {
            "half done"
        };
        states.push(format!("{name} {state}"));
    }
    let same_z = bits(&case.z) == bits(&after.z);
    if operation.name == "gradient_in_place" {
        states.push(format!(
            "z {}",
            if same_z { "as before" } else { "changed" }
        ));
    } else {
        assert!(same_z, "{}", operation.name);
    }
    if operation.name.contains("accumulate") {
        let same = case.sum == after.sum;
        states.push(format!(
            "sum {}",
            if same { "as before" } else { "changed" }
        ));
    } else {
        assert_eq!(case.sum, after.sum, "{}", operation.name);
    }
    if states.is_empty() {
        states.push("nothing written".into());
    }
    (result, states.join(", "))
}

fn lengths(operation: &Operation) -> &'static [usize] {
    if operation.name.starts_with("par") {
        &[3, 40_000]
    } else {
        &[1, 5, 64, 1100]
    }
}

#[test]
fn every_error_of_every_operation_leaves_what_the_rule_says() {
    let faults = faults();
    let mut table = format!(
        "{HEADER}| operation | {} |\n|---|{}\n",
        faults
            .iter()
            .map(|fault| fault.name)
            .collect::<Vec<_>>()
            .join(" | "),
        "---|".repeat(faults.len())
    );
    for operation in operations() {
        let mut row = format!("| `{}` |", operation.name);
        for fault in &faults {
            let mut seen = Vec::new();
            if (fault.possible)(&operation) {
                for &length in lengths(&operation) {
                    for backend in Backend::available() {
                        let mut case = Case::valid(length, backend);
                        (fault.plant)(&mut case);
                        let (result, state) = run(&operation, &case);
                        let error = result.expect_err(fault.name);
                        assert!((fault.names)(&error), "{}: {error:?}", operation.name);
                        seen.push(state);
                    }
                }
            }
            seen.dedup();
            let cell = seen.join("; ");
            assert!(seen.len() < 2, "{}, {}: {cell}", operation.name, fault.name);
            let broken = ["half done", "changed"]
                .iter()
                .any(|word| cell.contains(word))
                || operation
                    .outputs
                    .iter()
                    .any(|name| cell.contains(&format!("{name} as before")));
            assert!(!broken, "{}, {}: {cell}", operation.name, fault.name);
            row += &format!(" {} |", if cell.is_empty() { "—" } else { &cell });
        }
        table += &(row + "\n");
    }
    table +=
        "\n## The linear head\n\nHere too, but of two lengths either may be the one returned.\n\n";
    table += &linear::table();
    if std::env::var_os("WRITE").is_some() && cfg!(feature = "rayon") {
        std::fs::write(TABLE, &table).unwrap();
    }
    let expected: Vec<String> = std::fs::read_to_string(TABLE)
        .unwrap()
        .lines()
        .filter(|line| cfg!(feature = "rayon") || !line.starts_with("| `par_"))
        .map(String::from)
        .collect();
    assert_eq!(
        table.lines().collect::<Vec<_>>(),
        expected,
        "WRITE=1 with the feature rayon"
    );
}

/// The option in which a fault is.
fn given(fault: &str) -> Option<&'static str> {
    let option = |word: &str, option| fault.contains(word).then_some(option);
    option("row", "row_weights")
        .or_else(|| option("pos_weight", "pos_weights"))
        .or_else(|| option("weight", "weights"))
        .or_else(|| option("nothing to divide by", "weights"))
}

/// With two things wrong, the one that is looked for first.
#[test]
fn the_checks_have_one_order() {
    let faults = faults();
    for operation in operations() {
        for (i, first) in faults.iter().enumerate() {
            for second in &faults[i + 1..] {
                if !(first.possible)(&operation) || !(second.possible)(&operation) {
                    continue;
                }
                // Both give the same slice or option.
                if given(first.name).is_some_and(|one| given(second.name) == Some(one)) {
                    continue;
                }
                let mut case = Case::valid(70, Backend::detect());
                (second.plant)(&mut case);
                (first.plant)(&mut case);
                let error = run(&operation, &case).0.expect_err(first.name);
                assert!(
                    (first.names)(&error),
                    "{}: {error:?} before {}, with {}",
                    operation.name,
                    first.name,
                    second.name
                );
            }
        }
        // Nothing is wrong with what was planted in.
        let (result, _) = run(&operation, &Case::valid(70, Backend::detect()));
        assert_eq!(result, Ok(()), "{}", operation.name);
    }
    linear::check_order();
}

/// Empty slices are checked for length and options before they are found to be empty.
#[test]
fn empty_slices_come_last_but_elements() {
    let empty: [f64; 0] = [];
    let mut gradient = [7.0; 4];
    for bce in [Bce::new(), Bce::new().weights(&empty)] {
        assert_eq!(
            bce.mean_gradient(&empty, &[5.0], &mut gradient),
            Err(Error::LengthMismatch {
                argument: "t",
                expected: 0,
                found: 1
            })
        );
        assert!(gradient.iter().all(|x| x.is_nan()));
        assert_eq!(
            bce.mean_gradient(&empty, &empty, &mut []),
            Err(Error::Empty)
        );
        let error = bce.pos_weight(-1.0).mean(&empty, &empty).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }));
    }
    // Removed elements are not looked at, but a weight that is not one is.
    let mean = |weights: &[f64]| Bce::new().weights(weights).mean(&[0.0; 2], &[5.0; 2]);
    assert_eq!(mean(&[0.0, -0.0]), Err(Error::Empty));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let error = mean(&[0.0, bad]).unwrap_err();
        assert!(matches!(error, Error::TargetOutOfRange { index: 1, .. }));
        let error = Bce::new().weights(&[-0.0, bad]).mean(&[0.0; 2], &[0.5; 2]);
        assert!(matches!(error, Err(Error::InvalidWeight { index: 1, .. })));
    }
}

#[test]
fn every_option_out_of_range_is_named_with_its_range() {
    for (options, values, range) in [
        (
            "pos_weight",
            &[0.0, -0.0, -1.0, f32::NAN, f32::INFINITY][..],
            "finite and > 0",
        ),
        ("label_smoothing", &[-0.1, 1.1, f32::NAN], "in [0, 1]"),
        (
            "target_tolerance",
            &[-1e-9, f32::NAN, f32::INFINITY],
            "finite and >= 0",
        ),
    ] {
        for &value in values {
            let bce = match options {
                "pos_weight" => Bce::new().pos_weight(value),
                "label_smoothing" => Bce::new().label_smoothing(value),
                _ => Bce::new().target_tolerance(value),
            };
            let error = bce.sum(&[0.0], &[0.5]).unwrap_err();
            let expected = Error::InvalidOption {
                option: options,
                value: f64::from(value),
                range,
            };
            assert_eq!(format!("{error:?}"), format!("{expected:?}"));
            assert_eq!(
                error.to_string(),
                format!(
                    "{options} is {value} and must be {range}",
                    value = f64::from(value)
                )
            );
        }
    }
    let length = Bce::new()
        .gradient(&[0.0; 2], &[0.5; 2], &mut [0.0; 3])
        .unwrap_err();
    assert_eq!(length.to_string(), "gradient has the length 3, not 2");
}
