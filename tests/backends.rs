//! Every backend gives the bits of `Scalar`: for every operation, mode, length and offset.

mod corpus;

use corpus::{Element, Format, Function, Mode, Operation, Random, numbers};
use soft_bce::{Backend, Bce, Error, LossSum, log_sigmoid, scalar, sigmoid, softplus};

/// Logits, targets, weights, and targets with what is none where the weight is 0.
struct Inputs<T> {
    z: Vec<T>,
    t: Vec<T>,
    w: Vec<T>,
    masked: Vec<T>,
}

impl<T: Element> Inputs<T> {
    fn new(length: usize, rarity: u64) -> Self {
        let mut random = Random::new(rarity);
        let mut inputs = Self {
            z: Vec::new(),
            t: Vec::new(),
            w: Vec::new(),
            masked: Vec::new(),
        };
        for _ in 0..length {
            let (z, t, w) = numbers::mixed(rarity, &mut random);
            inputs.z.push(z);
            inputs.t.push(t);
            inputs.w.push(w);
            inputs.masked.push(numbers::masked(t, w, &mut random));
        }
        inputs
    }
}

/// What a call returns and writes.
#[derive(PartialEq)]
struct Results<T> {
    number: Result<f64, Error>,
    outputs: [Vec<T>; 3],
    sum: LossSum,
}

fn call<T: Element>(operation: Operation, bce: &Bce<'_, T>, z: &[T], t: &[T]) -> Results<T> {
    let untouched = vec![T::from_f64(7.0); z.len()];
    let mut outputs = [untouched.clone(), untouched.clone(), untouched];
    if operation == Operation::GradientInPlace {
        outputs[0].copy_from_slice(z);
    }
    let mut sum = LossSum::new();
    let [first, second, third] = &mut outputs;
    let number = T::run(operation, bce, z, t, [first, second, third], &mut sum);
    Results {
        number,
        outputs,
        sum,
    }
}

/// Where the results differ first, in words.
fn difference<T: Element>(found: &Results<T>, expected: &Results<T>) -> Option<String> {
    let pairs = found.outputs.iter().zip(&expected.outputs).enumerate();
    for (output, (found, expected)) in pairs {
        let differing = found
            .iter()
            .zip(expected)
            .position(|(a, b)| a.comparable() != b.comparable());
        if let Some(index) = differing {
            let (found, expected) = (found[index], expected[index]);
            return Some(format!(
                "output {output}, index {index}: {found:?} ({:#x}) instead of {expected:?} ({:#x})",
                found.to_bits(),
                expected.to_bits(),
            ));
        }
    }
    if found.number.map(f64::comparable) != expected.number.map(f64::comparable) {
        let bits = |number: Result<f64, Error>| number.map_or(0, Format::to_bits);
        return Some(format!(
            "returned {:?} ({:#x}) instead of {:?} ({:#x})",
            found.number,
            bits(found.number),
            expected.number,
            bits(expected.number),
        ));
    }
    (found.sum != expected.sum)
        .then(|| format!("sum {:?} instead of {:?}", found.sum, expected.sum))
}

/// What the operations compute together, each has to compute alone: `results` are theirs, in order.
fn check_agreement<T: Element>(results: &[Results<T>]) {
    let of = |operation| &results[operation as usize];
    let losses = &of(Operation::Loss).outputs[0];
    let [gradient, hessian, untouched] = &of(Operation::SumGradientHessian).outputs;
    let mut sum = LossSum::new();
    losses.iter().for_each(|&loss| sum.add(loss.to_f64()));
    for operation in Operation::ALL {
        let found = of(operation);
        let expected = Results {
            number: match operation {
                Operation::Sum | Operation::SumGradient | Operation::SumGradientHessian => {
                    Ok(sum.to_f64())
                }
                // Means are checked against their definition by the fuzz target `backends`.
                Operation::Mean => of(Operation::MeanGradient).number,
                Operation::MeanGradient => of(Operation::Mean).number,
                _ => Ok(0.0),
            },
            outputs: std::array::from_fn(|output| {
                let of = match operation.output_names().get(output).copied() {
                    Some("loss") => losses,
                    Some("hessian") => hessian,
                    Some(_) if operation == Operation::MeanGradient => &found.outputs[0],
                    Some(_) => gradient,
                    None => untouched,
                };
                of.clone()
            }),
            sum: if operation == Operation::Accumulate {
                sum.clone()
            } else {
                LossSum::new()
            },
        };
        if let Some(difference) = difference(found, &expected) {
            panic!("{} disagrees: {difference}", operation.name());
        }
    }
}

fn compare<T: Element>() {
    let others: Vec<_> = Backend::available()
        .filter(|&backend| backend != Backend::Scalar)
        .collect();
    // Every so many lengths, where an emulator is too slow for all of them.
    let every = std::env::var("SOFT_BCE_EVERY").map_or(1, |every| every.parse().expect("a number"));
    let mut compared = 0;
    for rarity in [3, 40, 1000] {
        let inputs = Inputs::<T>::new(520, rarity);
        let lengths = (0..=200).chain([255, 256, 257, 272, 511, 512]);
        for length in lengths.step_by(every) {
            for offset in 0..if length % 7 == 0 { 4 } else { 1 } {
                let range = offset..offset + length;
                let (z, t) = (&inputs.z[range.clone()], &inputs.t[range.clone()]);
                let masked = &inputs.masked[range.clone()];
                for mode in Mode::ALL {
                    let t = if mode.is_weighted() { masked } else { t };
                    let on = |backend| {
                        let bce = mode.configure(Bce::new(), &inputs.w[range.clone()])?;
                        Some(bce.backend(backend).expect("it is available"))
                    };
                    let Some(scalar) = on(Backend::Scalar) else {
                        continue;
                    };
                    let expected = Operation::ALL.map(|operation| call(operation, &scalar, z, t));
                    if mode != Mode::Focal {
                        check_agreement(&expected);
                    }
                    for &backend in &others {
                        let bce = on(backend).expect("as for Scalar");
                        for (operation, expected) in Operation::ALL.into_iter().zip(&expected) {
                            if !mode.has(operation) {
                                continue;
                            }
                            let found = call(operation, &bce, z, t);
                            if let Some(difference) = difference(&found, expected) {
                                panic!(
                                    "{} {} {} {}, length {length}, offset {offset}, rarity {rarity}: {difference}",
                                    T::NAME,
                                    backend.name(),
                                    mode.name(),
                                    operation.name(),
                                );
                            }
                            compared += 1;
                        }
                    }
                }
                check_functions(z, t);
            }
        }
    }
    println!("{}: {compared} calls compared", T::NAME);
}

/// A slice gives what its elements give alone.
fn check_functions<T: Element>(z: &[T], t: &[T]) {
    for function in Function::ALL {
        let from = if function.takes_probability() { t } else { z };
        let mut together = vec![T::from_f64(7.0); z.len()];
        let Some(result) = T::map(function, from, &mut together) else {
            continue;
        };
        result.expect("valid inputs");
        for (index, (&from, &together)) in from.iter().zip(&together).enumerate() {
            let mut alone = [T::from_f64(7.0)];
            T::map(function, &[from], &mut alone);
            assert_eq!(
                together.comparable(),
                alone[0].comparable(),
                "{} {}, length {}, index {index}, {from:?}: {together:?} instead of {:?}",
                T::NAME,
                function.name(),
                z.len(),
                alone[0],
            );
        }
    }
}

#[test]
fn every_backend_gives_the_bits_of_scalar_f32() {
    compare::<f32>();
}

#[test]
fn every_backend_gives_the_bits_of_scalar_f64() {
    compare::<f64>();
}

#[test]
fn a_planted_difference_is_named() {
    let results = |value| Results {
        number: Ok(1.0),
        outputs: [vec![0.0_f32; 3], vec![0.0, value, f32::NAN], Vec::new()],
        sum: LossSum::new(),
    };
    assert_eq!(difference(&results(0.0), &results(0.0)), None);
    assert_eq!(
        difference(&results(-0.0), &results(0.0)).as_deref(),
        Some("output 1, index 1: -0.0 (0x80000000) instead of 0.0 (0x0)")
    );
    let mut other = results(0.0);
    other.number = Ok(2.0);
    let message = difference(&other, &results(0.0)).expect("another number");
    assert!(
        message.contains("2.0") && message.contains("0x4000"),
        "{message}"
    );
    other = results(0.0);
    other.sum.add(1.0);
    assert!(difference(&other, &results(0.0)).is_some());
}

/// The functions of one element have a way of their own for most of them.
fn compare_scalar<T: Element>() {
    for rarity in [3, 1000] {
        let Inputs { z, t, .. } = Inputs::<T>::new(20_000, rarity);
        let outputs = || vec![T::from_f64(7.0); z.len()];
        let [mut loss, mut gradient, mut softplus_] = [outputs(), outputs(), outputs()];
        let [mut sigmoid_, mut log_sigmoid_] = [outputs(), outputs()];
        let bce = Bce::<T>::new();
        bce.loss(&z, &t, &mut loss).unwrap();
        bce.gradient(&z, &t, &mut gradient).unwrap();
        softplus(&z, &mut softplus_).unwrap();
        sigmoid(&z, &mut sigmoid_).unwrap();
        log_sigmoid(&z, &mut log_sigmoid_).unwrap();
        for (i, (&z, &t)) in z.iter().zip(&t).enumerate() {
            for (name, found, expected) in [
                ("loss", scalar::loss(z, t).unwrap(), loss[i]),
                ("gradient", scalar::gradient(z, t).unwrap(), gradient[i]),
                ("softplus", scalar::softplus(z), softplus_[i]),
                ("sigmoid", scalar::sigmoid(z), sigmoid_[i]),
                ("log_sigmoid", scalar::log_sigmoid(z), log_sigmoid_[i]),
            ] {
                assert!(
                    found.comparable() == expected.comparable(),
                    "{name} at {z:?}, {t:?}: {found:?} instead of {expected:?}"
                );
            }
        }
    }
}

#[test]
fn one_element_has_the_bits_of_slices() {
    compare_scalar::<f32>();
    compare_scalar::<f64>();
}

/// Sums of few losses have limits of |z|, up to which each backend has a shorter way. There the least
/// losses are of right hard labels, the largest of wrong ones.
fn compare_short_sums<T: Element>() {
    let mut random = Random::new(5);
    let scalar = Bce::<T>::new().backend(Backend::Scalar).unwrap();
    for limit in [11.75, 13.0, 15.3, 24.9] {
        for n in (1..=70).chain(125..=129).chain(240..=257).chain(510..=513) {
            for least in [0.1, 0.5, 0.9] {
                let pairs = (0..n).map(|_| {
                    let steps = if random.unit() < 0.01 { 1 } else { -8 };
                    let below = if random.unit() < 0.5 {
                        0.0
                    } else {
                        random.unit()
                    };
                    let z = T::from_f64(limit - below).step((random.unit() * steps as f64) as i64);
                    let t = if random.unit() < least { 1.0 } else { 0.0 };
                    (z, T::from_f64(t))
                });
                let (z, t): (Vec<T>, Vec<T>) = pairs.unzip();
                let mut gradient = vec![T::from_f64(0.0); n];
                let expected = scalar.sum(&z, &t).unwrap();
                let mean = scalar.mean(&z, &t).unwrap();
                for backend in Backend::available() {
                    let bce = Bce::<T>::new().backend(backend).unwrap();
                    let sums = [bce.sum(&z, &t), bce.sum_gradient(&z, &t, &mut gradient)];
                    assert_eq!(
                        sums,
                        [Ok(expected); 2],
                        "{n} near {limit}, {}",
                        backend.name()
                    );
                    let means = [bce.mean(&z, &t), bce.mean_gradient(&z, &t, &mut gradient)];
                    assert_eq!(means, [Ok(mean); 2], "{n} near {limit}, {}", backend.name());
                }
            }
        }
    }
}

#[test]
fn short_sums_are_exact_at_their_limits() {
    compare_short_sums::<f32>();
    compare_short_sums::<f64>();
}

/// Gradients are done in blocks, up to a number of elements; a logit that is far out or a wrong target in any
/// sends all of them the longer way.
fn compare_blocks<T: Element>() {
    let mut random = Random::new(6);
    for n in [
        1023, 1024, 1025, 2048, 2049, 3001, 16_383, 16_384, 16_385, 17_409,
    ] {
        let pair = |_| (random.unit() * 20.0 - 10.0, random.unit());
        let pairs: Vec<(f64, f64)> = (0..n).map(pair).collect();
        for (z, t) in [(0.5, 0.25), (-700.0, 0.0), (0.5, 1.5)] {
            for place in [n / 2, n - 1] {
                let mut pairs = pairs.clone();
                pairs[place] = (z, t);
                let of_f64 = |(z, t)| (T::from_f64(z), T::from_f64(t));
                let (z, t): (Vec<T>, Vec<T>) = pairs.into_iter().map(of_f64).unzip();
                let on = |backend| {
                    let bce = Bce::<T>::new().backend(backend).unwrap();
                    call(Operation::Gradient, &bce, &z, &t)
                };
                let expected = on(Backend::Scalar);
                for backend in Backend::available() {
                    if let Some(difference) = difference(&on(backend), &expected) {
                        panic!("{n}, {place}, {}: {difference}", backend.name());
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_of_gradients_have_the_bits_of_scalar() {
    compare_blocks::<f32>();
    compare_blocks::<f64>();
}

/// Logits beyond the fast kernel, most where e^-|z| is not yet 0, with targets of every magnitude up to both ends.
fn compare_far<T: Element>(from: f64, to: f64) {
    let mut random = Random::new(7);
    for n in [64, 512, 1000, 20_000] {
        let pair = |i: usize| {
            let a = match i % 32 {
                30 => [f64::INFINITY, f64::NAN, 1e30][i / 32 % 3],
                31 => random.unit(),
                _ => from + (to - from) * random.unit(),
            };
            let tiny = [0.0, (-to * random.unit()).exp()][usize::from(i / 512 % 2 == 1)];
            let positive = random.unit() < 0.5;
            let right = random.unit() < 0.75;
            let z = if positive { a } else { -a };
            (z, if positive == right { 1.0 - tiny } else { tiny })
        };
        let of_f64 = |(z, t)| (T::from_f64(z), T::from_f64(t));
        let (z, t): (Vec<T>, Vec<T>) = (0..n).map(pair).map(of_f64).unzip();
        for operation in Operation::ALL {
            let on = |backend| {
                let bce = Bce::<T>::new().backend(backend).unwrap();
                call(operation, &bce, &z, &t)
            };
            let expected = on(Backend::Scalar);
            for backend in Backend::available() {
                if let Some(difference) = difference(&on(backend), &expected) {
                    let (operation, backend) = (operation.name(), backend.name());
                    panic!("{} {n} {operation} {backend}: {difference}", T::NAME);
                }
            }
        }
    }
}

#[test]
fn logits_beyond_the_fast_kernel_have_the_bits_of_scalar() {
    compare_far::<f32>(86.0, 105.0);
    compare_far::<f64>(635.0, 747.0);
}

/// A backend that the machine has but the tests would not run must not pass in silence.
#[test]
fn the_backends_of_this_machine_are_all_run() {
    let run: Vec<_> = Backend::available().map(Backend::name).collect();
    println!("backends run: {}", run.join(", "));
    assert!(run.contains(&"scalar"));
    #[cfg(target_arch = "x86_64")]
    {
        assert!(run.contains(&"wide"));
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        assert_eq!(run.contains(&"avx2"), avx2);
        assert_eq!(run.contains(&"avx512"), avx512);
    }
}
