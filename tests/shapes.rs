//! Weights of rows and classes: the bits of calls with a weight for each element, at any shape, on any
//! backend; the values that PyTorch documents; and the errors.

mod corpus;

use corpus::{Element, Format, Operation, Random, numbers};
use soft_bce::linear::{Features, Head};
use soft_bce::{Backend, Bce, Error, LossSum};

/// Three rows, two classes.
const Z: [f64; 6] = [0.5, -1.0, 2.0, 0.25, -0.75, 1.5];
const T: [f64; 6] = [1.0, 0.0, 0.3, 1.0, 0.0, 0.9];

fn close(found: f64, right: f64) {
    assert!(
        (found - right).abs() <= 1e-12 * right.abs(),
        "{found} {right}"
    );
}

/// `torch.nn.BCEWithLogitsLoss(pos_weight=[3, 10])`: each class by its own weight.
#[test]
fn a_pos_weight_for_each_class_is_that_of_pytorch() {
    let bce = Bce::new().pos_weights(&[3.0, 10.0]);
    close(bce.mean(&Z, &T).unwrap(), 1.911283915379);
    let mut loss = [0.0; 6];
    bce.loss(&Z, &T, &mut loss).unwrap();
    let class = |class: usize| loss.iter().skip(class).step_by(2).sum::<f64>();
    close(class(0), 3.412186776324);
    close(class(1), 8.055516715950);
    let single = Z.map(|z| z as f32);
    let bce = Bce::new().pos_weights(&[3.0, 10.0]);
    let mean = bce.mean(&single, &T.map(|t| t as f32)).unwrap();
    assert!((mean - 1.911283915379).abs() < 1e-6);
    // At z = 0 by hand: (p t + 1 - t) ln 2.
    let mut loss = [0.0; 4];
    let bce = Bce::new().pos_weights(&[2.0, 4.0]).row_weights(&[1.0, 0.5]);
    bce.loss(&[0.0; 4], &[1.0, 0.5, 0.0, 1.0], &mut loss)
        .unwrap();
    let by_hand = [2.0, 2.5, 0.5, 2.0].map(|factor| factor * std::f64::consts::LN_2);
    loss.into_iter().zip(by_hand).for_each(|(a, b)| close(a, b));
    close(
        bce.mean(&[0.0; 4], &[1.0, 0.5, 0.0, 1.0]).unwrap(),
        by_hand.iter().sum::<f64>() / 3.0,
    );
}

/// What an operation returns and writes.
#[derive(Debug, PartialEq)]
struct Results {
    number: Option<u64>,
    outputs: [Vec<u64>; 3],
    sum: LossSum,
}

fn call<T: Element>(operation: Operation, bce: &Bce<'_, T>, z: &[T], t: &[T]) -> Results {
    let mut outputs: [Vec<T>; 3] = std::array::from_fn(|_| z.to_vec());
    let mut sum = LossSum::new();
    let [a, b, c] = &mut outputs;
    let number = T::run(operation, bce, z, t, [a, b, c], &mut sum).expect("a valid call");
    Results {
        number: operation.has_number().then(|| number.comparable()),
        outputs: outputs.map(|output| output.into_iter().map(Format::comparable).collect()),
        sum,
    }
}

/// Every column by itself with the weight of its class, put together again.
fn by_columns<T: Element>(bce: &Bce<'_, T>, classes: &[T], data: [&[T]; 3]) -> [Vec<u64>; 3] {
    let [z, t, weights] = data;
    let mut together: [Vec<u64>; 3] = std::array::from_fn(|_| vec![0; z.len()]);
    for (class, &pos_weight) in classes.iter().enumerate() {
        let column = |of: &[T]| -> Vec<T> {
            let of = of.iter().skip(class).step_by(classes.len());
            of.copied().collect()
        };
        let (z, t, weights) = (column(z), column(t), column(weights));
        let bce = bce.pos_weight(pos_weight).weights(&weights);
        let results = call(Operation::LossGradientHessian, &bce, &z, &t);
        for (together, column) in together.iter_mut().zip(results.outputs) {
            let places = together.iter_mut().skip(class).step_by(classes.len());
            places.zip(column).for_each(|(to, from)| *to = from);
        }
    }
    together
}

fn compare<T: Element>(shapes: &[(usize, usize)], random: &mut Random) {
    for &(rows, classes) in shapes {
        let length = rows * classes;
        let mut z: Vec<T> = Vec::new();
        let (mut t, mut w) = (z.clone(), z.clone());
        for _ in 0..length {
            let (logit, target, _) = numbers::mixed(40, random);
            z.push(logit);
            t.push(target);
            w.push(T::from_f64(random.below(7) as f64 / 3.0));
        }
        let row_weights: Vec<T> = (0..rows)
            .map(|_| T::from_f64(random.below(5) as f64 / 7.0))
            .collect();
        let pos_weights: Vec<T> = (0..classes)
            .map(|_| T::from_f64(1.0 + 5.0 * random.unit()))
            .collect();
        let spread: Vec<T> = (0..length).map(|i| row_weights[i / classes]).collect();
        let product: Vec<T> = (0..length)
            .map(|i| T::from_f64(spread[i].to_f64() * w[i].to_f64()))
            .collect();
        // A row that is removed may hold anything.
        let mut given = w.clone();
        for i in 0..length {
            if spread[i].to_f64() == 0.0 {
                (given[i], t[i]) = (T::from_f64(f64::NAN), T::from_f64(-100.0));
            }
        }
        let valid: Vec<T> = (0..length)
            .map(|i| {
                if product[i].to_f64() == 0.0 {
                    T::from_f64(0.5)
                } else {
                    t[i]
                }
            })
            .collect();
        for backend in Backend::available() {
            let bce = Bce::new().backend(backend).unwrap();
            for smoothing in [0.0, 0.125] {
                let bce = bce.label_smoothing(T::from_f64(smoothing));
                for operation in Operation::ALL {
                    let is_empty = spread.iter().all(|weight| weight.to_f64() == 0.0)
                        || product.iter().all(|weight| weight.to_f64() == 0.0);
                    if operation.is_mean() && is_empty {
                        continue;
                    }
                    let what = format!("{} {rows} x {classes} {operation:?}", backend.name());
                    let found = call(operation, &bce.row_weights(&row_weights), &z, &t);
                    let expected = call(operation, &bce.weights(&spread), &z, &t);
                    assert!(found == expected, "rows, {what}");
                    let both = bce.row_weights(&row_weights).weights(&given);
                    let found = call(operation, &both, &z, &t);
                    let expected = call(operation, &bce.weights(&product), &z, &t);
                    assert!(found == expected, "rows and weights, {what}");
                }
                let shaped = bce.row_weights(&row_weights).pos_weights(&pos_weights);
                let shaped = shaped.weights(&given);
                let of = |operation| call(operation, &shaped, &z, &t);
                let [loss, gradient, hessian] =
                    by_columns(&bce, &pos_weights, [&z, &valid, &product]);
                let arrays = of(Operation::LossGradientHessian).outputs;
                let what = format!("{} {rows} x {classes}", backend.name());
                assert!(
                    arrays == [loss.clone(), gradient.clone(), hessian],
                    "{what}"
                );
                let sum = of(Operation::SumGradient);
                assert!(sum.outputs[0] == gradient, "{what}");
                assert!(
                    of(Operation::GradientInPlace).outputs[0] == gradient,
                    "{what}"
                );
                let mut total = LossSum::new();
                loss.iter()
                    .for_each(|&bits| total.add(T::from_bits(bits).to_f64()));
                assert_eq!(sum.number, Some(total.to_f64().comparable()), "{what}");
                assert_eq!(of(Operation::Accumulate).sum, total, "{what}");
            }
        }
    }
}

#[test]
fn rows_and_classes_give_the_bits_of_elements() {
    let mut random = Random::new(1);
    let shapes = [
        (1, 1),
        (5, 1),
        (1, 5),
        (3, 2),
        (700, 1),
        (300, 2),
        (200, 3),
        (130, 10),
        (40, 64),
        (9, 100),
        (4, 255),
        (4, 256),
        (4, 257),
        (3, 600),
        (2, 1000),
        (90, 17),
    ];
    compare::<f32>(&shapes, &mut random);
    compare::<f64>(&shapes, &mut random);
}

#[test]
fn tolerances_and_threads_do_not_move_rows_and_classes() {
    let (rows, classes) = (4000, 10);
    let length = rows * classes;
    let mut random = Random::new(2);
    let z: Vec<f32> = (0..length)
        .map(|_| 8.0 * random.unit() as f32 - 4.0)
        .collect();
    let t: Vec<f32> = (0..length).map(|_| random.unit() as f32).collect();
    let row_weights: Vec<f32> = (0..rows).map(|row| (row % 3) as f32).collect();
    let pos_weights: Vec<f32> = (0..classes).map(|class| 1.0 + class as f32).collect();
    let bce = Bce::new()
        .row_weights(&row_weights)
        .pos_weights(&pos_weights);
    let (mut g, mut other) = (vec![0.0; length], vec![0.0; length]);
    let mean = bce.mean_gradient(&z, &t, &mut g).unwrap();
    let tolerant = bce.target_tolerance(1e-6);
    assert_eq!(tolerant.mean_gradient(&z, &t, &mut other), Ok(mean));
    assert_eq!(g, other);
    #[cfg(feature = "rayon")]
    {
        assert_eq!(bce.par_mean_gradient(&z, &t, &mut other), Ok(mean));
        assert_eq!(g, other);
        let mut bad = t.clone();
        bad[30_001] = 2.0;
        let error = Error::TargetOutOfRange {
            index: 30_001,
            value: 2.0,
        };
        let weights = vec![1.0; rows];
        assert_eq!(bce.row_weights(&weights).par_sum(&z, &bad), Err(error));
    }
    let mut in_place = z.clone();
    bce.gradient_in_place(&mut in_place, &t).unwrap();
    bce.gradient(&z, &t, &mut g).unwrap();
    assert_eq!(g, in_place);
}

#[test]
fn each_error_names_its_argument_and_place() {
    let (z, t) = ([0.0_f64; 6], [0.5; 6]);
    for (rows, classes, argument, found) in [
        (&[1.0; 4][..], &[1.0; 2][..], "row_weights", 4),
        (&[1.0; 3], &[1.0; 4], "pos_weights", 4),
        (&[], &[1.0], "row_weights", 0),
        (&[1.0], &[], "pos_weights", 0),
        (&[1.0; 7], &[1.0], "row_weights", 7),
    ] {
        let mut g = [7.0; 6];
        let error = Bce::new()
            .row_weights(rows)
            .pos_weights(classes)
            .gradient(&z, &t, &mut g);
        let error = error.unwrap_err();
        assert_eq!(
            error,
            Error::LengthMismatch {
                argument,
                expected: 6,
                found
            }
        );
        let message = format!("{argument} has the length {found}, which does not divide 6");
        assert_eq!(error.to_string(), message);
        assert!(g.iter().all(|g| g.is_nan()));
    }
    // Rows of two, columns of three: each divides by itself, as in rows × columns × classes.
    assert!(
        Bce::new()
            .row_weights(&[1.0; 2])
            .pos_weights(&[1.0; 2])
            .sum(&z, &t)
            .is_ok()
    );
    assert_eq!(
        Bce::new()
            .row_weights(&[])
            .pos_weights(&[2.0])
            .sum(&[], &[]),
        Ok(0.0)
    );

    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let error = Bce::new()
            .row_weights(&[1.0, 1.0, bad])
            .sum(&z, &[2.0; 6])
            .unwrap_err();
        assert!(
            matches!(error, Error::InvalidRowWeight { row: 2, value } if value.to_bits() == bad.to_bits())
        );
        assert!(
            error
                .to_string()
                .contains("of row 2 is not finite and >= 0")
        );
        for bad in [bad, 0.0, -0.0] {
            let error = Bce::new().pos_weights(&[1.0, bad]).sum(&z, &t).unwrap_err();
            assert!(
                matches!(error, Error::InvalidPosWeight { class: 1, value } if value.to_bits() == bad.to_bits())
            );
            assert!(
                error
                    .to_string()
                    .contains("of class 1 is not finite and > 0")
            );
        }
        let mut weights = [1.0; 6];
        weights[4] = bad;
        let bce = Bce::new().weights(&weights);
        let error = bce.row_weights(&[1.0, 1.0, 2.0]).sum(&z, &t).unwrap_err();
        assert!(
            matches!(error, Error::InvalidWeight { index: 4, value } if value.to_bits() == bad.to_bits())
        );
        // Not looked at.
        assert!(bce.row_weights(&[1.0, 1.0, -0.0]).sum(&z, &t).is_ok());
    }
    let huge = Bce::new()
        .weights(&[1e300; 6])
        .row_weights(&[1e300, 1.0])
        .sum(&z, &t);
    assert_eq!(
        huge,
        Err(Error::InvalidWeight {
            index: 0,
            value: f64::INFINITY
        })
    );
    assert_eq!(
        Bce::new().row_weights(&[0.0, -0.0]).mean(&z, &t),
        Err(Error::Empty)
    );
    let nothing = Bce::new()
        .weights(&[1e-200; 6])
        .row_weights(&[1e-200; 3])
        .mean(&z, &t);
    assert_eq!(nothing, Err(Error::Empty));
    let both = Bce::new().pos_weights(&[2.0]).pos_weight(3.0).sum(&z, &t);
    assert!(matches!(both, Err(Error::UnsupportedOptions { .. })));
    let excess = Bce::new().pos_weights(&[2.0]).excess().sum(&z, &t);
    assert!(matches!(excess, Err(Error::UnsupportedOptions { .. })));
    let exact = Bce::<f32>::new()
        .row_weights(&[2.0])
        .exact()
        .sum(&[0.0], &[0.5]);
    assert!(matches!(exact, Err(Error::UnsupportedOptions { .. })));
    let bce = Bce::new().row_weights(&[1.0]);
    let head = Head::new(&[1.0]).bce(bce).residual_scale();
    assert!(matches!(head, Err(Error::UnsupportedOptions { .. })));
    let x = Features::rows(&[1.0], 1, 1).unwrap();
    let logits = Head::new(&[1.0]).bce(bce).logits(&x, &mut [0.0]);
    assert!(matches!(logits, Err(Error::UnsupportedOptions { .. })));
}
