//! How much stack each operation needs, in every type, mode and backend. A call runs in a process of its
//! own, since one that overflows ends it.
//!
//!     stack KIB LINEAR POOLS      fails and names what does not run in so many KiB: LINEAR for the linear
//!                                 head, POOLS for `par_*`, each thread of whose pools has so much
//!     stack --measure [FILTER]    what each needs, in KiB; FILTER is a part of the name

use std::env;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use soft_bce::linear::{
    self, ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, gradient_scratch,
    gram_length, gram_scratch,
};
use soft_bce::{Backend, Bce, Error, LossSum, Real, exact, scalar};

const KIB: usize = 1024;
const MOST: usize = 16 << 20;
/// Enough for every path through a main loop, its remainders, and chunks of two threads.
const LENGTHS: [usize; 7] = [0, 1, 3, 17, 100, 700, 3000];
const PARALLEL: usize = 40_000;

/// A call by its name. It is given the bytes of stack.
type Case = (String, Box<dyn Fn(usize) + Sync>);

/// Runs on a stack of so many bytes, no more: of whole pages, which is all there is, what is above that is
/// used up first.
fn on_stack(bytes: usize, call: impl FnOnce()) {
    let mut call = Some(call);
    stacker::grow(bytes + 8 * KIB, || {
        use_up(bytes, &mut || call.take().expect("it runs once")());
    });
}

#[inline(never)]
fn use_up(bytes: usize, call: &mut dyn FnMut()) {
    let frame = black_box([1_u8; 64]);
    if stacker::remaining_stack() > Some(bytes) {
        use_up(bytes, call);
    } else {
        call();
    }
    black_box(&frame);
}

/// In a pool whose threads have so much each.
fn in_pool(bytes: usize, call: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .stack_size(bytes);
    pool.build().expect("a pool").install(call);
}

struct Arrays<T> {
    z: Vec<T>,
    t: Vec<T>,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
}

trait Element: Real {
    const NAME: &'static str;
    fn of(value: f64) -> Self;
    /// With the modes that only this type has.
    fn modes() -> Vec<Mode<Self>>;
    fn functions() -> Vec<(&'static str, Function<Self>)>;
}

type Mode<T> = (&'static str, for<'a> fn(Bce<'a, T>, &'a [T]) -> Bce<'a, T>);
type Operation<T> = (
    &'static str,
    fn(&Bce<'_, T>, &mut Arrays<T>) -> Result<(), Error>,
);
type Function<T> = fn(&[T], &mut [T]) -> Result<(), Error>;

fn modes<T: Element>() -> Vec<Mode<T>> {
    vec![
        ("plain", |bce, _| bce),
        ("weighted", |bce, w| bce.weights(w)),
        ("options", |bce, w| {
            let bce = bce.weights(w).target_tolerance(T::of(1e-3));
            bce.pos_weight(T::of(3.0)).label_smoothing(T::of(0.1))
        }),
        ("rows and classes", |bce, w| {
            let bce = bce.weights(w).row_weights(w);
            // The weight of the first element is 0, which no class may have.
            let positive = w.iter().position(|&w| w > T::of(0.0));
            let bce = positive.map_or(bce, |i| bce.pos_weights(&w[i..=i]));
            bce.label_smoothing(T::of(0.1))
        }),
        ("temperature", |bce, w| {
            let bce = bce.weights(w).temperature(T::of(1.7));
            bce.label_smoothing(T::of(0.1))
        }),
        ("excess over a teacher", |bce, w| {
            let bce = bce.row_weights(w).temperature(T::of(0.75));
            bce.logit_targets().excess()
        }),
        ("excess", |bce, _| bce.excess()),
        ("excess weighted", |bce, w| bce.excess().weights(w)),
    ]
}

fn functions<T: Element>() -> Vec<(&'static str, Function<T>)> {
    vec![
        ("sigmoid", soft_bce::sigmoid),
        ("log_sigmoid", soft_bce::log_sigmoid),
        ("softplus", soft_bce::softplus),
        ("logit", |p, out| {
            let p: Vec<T> = p.iter().enumerate().map(|(i, _)| target(i)).collect();
            soft_bce::logit(&p, out)
        }),
        ("scalar", |z, out| {
            for (i, (z, out)) in z.iter().zip(out).enumerate() {
                black_box([
                    scalar::sigmoid(*z),
                    scalar::log_sigmoid(*z),
                    scalar::softplus(*z),
                    scalar::loss(*z, target(i))?,
                    scalar::gradient(*z, target(i))?,
                ]);
                *out = scalar::hessian(*z);
            }
            Ok(())
        }),
    ]
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    fn of(value: f64) -> Self {
        value as f32
    }
    fn modes() -> Vec<Mode<Self>> {
        let mut modes = modes();
        modes.push(("exact", |bce, _| bce.exact()));
        modes
    }
    fn functions() -> Vec<(&'static str, Function<Self>)> {
        let mut functions = functions();
        functions.push(("exact::sigmoid", exact::sigmoid));
        functions.push(("exact::log_sigmoid", exact::log_sigmoid));
        functions.push(("exact::softplus", exact::softplus));
        functions
    }
}

impl Element for f64 {
    const NAME: &'static str = "f64";
    fn of(value: f64) -> Self {
        value
    }
    fn modes() -> Vec<Mode<Self>> {
        modes()
    }
    fn functions() -> Vec<(&'static str, Function<Self>)> {
        functions()
    }
}

/// What belongs to the caller is not on the stack.
fn operations<T: Element>() -> Vec<Operation<T>> {
    vec![
        ("loss", |bce, s| bce.loss(&s.z, &s.t, &mut s.a)),
        ("sum", |bce, s| bce.sum(&s.z, &s.t).map(drop)),
        ("mean", |bce, s| bce.mean(&s.z, &s.t).map(drop)),
        ("gradient", |bce, s| bce.gradient(&s.z, &s.t, &mut s.a)),
        ("gradient_in_place", |bce, s| {
            s.a.copy_from_slice(&s.z);
            bce.gradient_in_place(&mut s.a, &s.t)
        }),
        ("sum_gradient", |bce, s| {
            bce.sum_gradient(&s.z, &s.t, &mut s.a).map(drop)
        }),
        ("mean_gradient", |bce, s| {
            bce.mean_gradient(&s.z, &s.t, &mut s.a).map(drop)
        }),
        ("gradient_hessian", |bce, s| {
            bce.gradient_hessian(&s.z, &s.t, &mut s.a, &mut s.b)
        }),
        ("sum_gradient_hessian", |bce, s| {
            bce.sum_gradient_hessian(&s.z, &s.t, &mut s.a, &mut s.b)
                .map(drop)
        }),
        ("loss_gradient", |bce, s| {
            bce.loss_gradient(&s.z, &s.t, &mut s.a, &mut s.b)
        }),
        ("loss_gradient_hessian", |bce, s| {
            bce.loss_gradient_hessian(&s.z, &s.t, &mut s.a, &mut s.b, &mut s.c)
        }),
        ("accumulate", |bce, s| {
            bce.accumulate(&s.z, &s.t, &mut Box::default())
        }),
        ("accumulate_gradient", |bce, s| {
            bce.accumulate_gradient(&s.z, &s.t, &mut Box::default(), &mut s.a)
        }),
        ("accumulate_gradient_hessian", |bce, s| {
            let sum = &mut Box::default();
            bce.accumulate_gradient_hessian(&s.z, &s.t, sum, &mut s.a, &mut s.b)
        }),
    ]
}

fn parallel_operations<T: Element>() -> Vec<Operation<T>> {
    vec![
        ("par_loss", |bce, s| bce.par_loss(&s.z, &s.t, &mut s.a)),
        ("par_sum", |bce, s| bce.par_sum(&s.z, &s.t).map(drop)),
        ("par_mean", |bce, s| bce.par_mean(&s.z, &s.t).map(drop)),
        ("par_gradient", |bce, s| {
            bce.par_gradient(&s.z, &s.t, &mut s.a)
        }),
        ("par_sum_gradient", |bce, s| {
            bce.par_sum_gradient(&s.z, &s.t, &mut s.a).map(drop)
        }),
        ("par_mean_gradient", |bce, s| {
            bce.par_mean_gradient(&s.z, &s.t, &mut s.a).map(drop)
        }),
        ("par_gradient_hessian", |bce, s| {
            bce.par_gradient_hessian(&s.z, &s.t, &mut s.a, &mut s.b)
        }),
        ("par_sum_gradient_hessian", |bce, s| {
            bce.par_sum_gradient_hessian(&s.z, &s.t, &mut s.a, &mut s.b)
                .map(drop)
        }),
        ("par_accumulate", |bce, s| {
            bce.par_accumulate(&s.z, &s.t, &mut LossSum::new())
        }),
    ]
}

/// A head, features and targets.
type LinearOperation<T> = (
    &'static str,
    fn(&Head<'_, T>, &Features<'_, T>, &[T]) -> Result<(), Error>,
);

/// The scales of the columns, sums of as many groups as asked for, and scratch.
type Started = (Vec<ColumnScale>, Vec<ColumnSum>, Vec<f64>);

fn start<T: Element>(
    head: &Head<'_, T>,
    x: &Features<'_, T>,
    factor: Option<ColumnScale>,
    groups: usize,
) -> Result<Started, Error> {
    let mut scales = vec![ColumnScale::ZERO; x.column_count()];
    linear::scan(x, &mut scales)?;
    let mut sums = vec![ColumnSum::default(); head.width() * groups];
    let factor = factor.map_or_else(|| head.residual_scale(), Ok)?;
    for sums in sums.chunks_mut(head.width()) {
        head.start_gradient(&scales, factor, sums)?;
    }
    Ok((scales, sums, vec![0.0; gradient_scratch(head.width())]))
}

fn start_hessian_vector<T: Element>(
    head: &Head<'_, T>,
    x: &Features<'_, T>,
) -> Result<(Vec<T>, Started), Error> {
    let direction = vec![T::of(0.5); head.width()];
    let (scales, ..) = start(head, x, None, 1)?;
    let scale = head.hessian_vector_scale(&scales, &direction)?;
    Ok((direction, start(head, x, Some(scale), 1)?))
}

fn start_gram<T: Element>(
    head: &Head<'_, T>,
    x: &Features<'_, T>,
    factor: ColumnScale,
) -> Result<(Vec<ColumnSum>, Vec<f64>), Error> {
    let (scales, ..) = start(head, x, None, 1)?;
    let mut sums = vec![ColumnSum::default(); gram_length(head.width())];
    head.start_gram(&scales, factor, &mut sums)?;
    Ok((sums, vec![0.0; gram_scratch(head.width())]))
}

fn linear_operations<T: Element>() -> Vec<LinearOperation<T>> {
    vec![
        ("linear::logits", |head, x, _| {
            head.logits(x, &mut vec![T::of(0.0); x.row_count()])
        }),
        ("linear::predict", |head, x, _| {
            head.predict(x, &mut vec![T::of(0.0); x.row_count()])
        }),
        ("linear::sum_gradient", |head, x, t| {
            let (_, mut sums, mut scratch) = start(head, x, None, 1)?;
            head.sum_gradient(x, t, &mut LossSum::new(), &mut sums, &mut scratch)?;
            let other = sums.clone();
            linear::merge(&mut sums, &other)
        }),
        ("linear::group_gradient", |head, x, t| {
            let groups: Vec<u32> = (0..x.row_count() as u32).map(|row| row % 3).collect();
            let (_, mut sums, mut scratch) = start(head, x, None, 3)?;
            head.group_gradient(x, t, &groups, &mut LossSum::new(), &mut sums, &mut scratch)
        }),
        ("linear::hessian_vector", |head, x, t| {
            let (direction, (_, mut sums, mut scratch)) = start_hessian_vector(head, x)?;
            head.hessian_vector(x, t, &direction, &mut sums, &mut scratch)
        }),
        ("linear::gram", |head, x, t| {
            let (mut sums, mut scratch) = start_gram(head, x, head.hessian_scale()?)?;
            head.gram(x, t, Factor::Hessian, &mut sums, &mut scratch)
        }),
        ("linear::group_sums", |head, x, t| {
            let groups: Vec<u32> = (0..x.row_count() as u32).map(|row| row % 3).collect();
            let (_, mut sums, mut scratch) = start(head, x, None, 3)?;
            head.group_sums(x, t, Factor::Hessian, &groups, &mut sums, &mut scratch)
        }),
        ("linear::column_sums", |head, x, t| {
            let given = Factor::Given(t);
            let (_, mut sums, mut scratch) = start(head, x, Some(head.factor_scale(given)?), 1)?;
            head.column_sums(x, t, given, &mut sums, &mut scratch)
        }),
        ("linear::sum_gradient_gram", |head, x, t| {
            let (_, mut sums, _) = start(head, x, None, 1)?;
            let (mut gram, _) = start_gram(head, x, head.hessian_scale()?)?;
            let mut scratch = vec![0.0; gradient_gram_scratch(head.width())];
            let (of, loss) = (Factor::Hessian, &mut LossSum::new());
            head.sum_gradient_gram(x, t, of, loss, &mut sums, &mut gram, &mut scratch)
        }),
        ("linear::gram of residuals", |head, x, t| {
            let scale = head.factor_scale(Factor::SquaredResidual)?;
            let (mut sums, mut scratch) = start_gram(head, x, scale)?;
            head.gram(x, t, Factor::SquaredResidual, &mut sums, &mut scratch)
        }),
    ]
}

fn parallel_linear_operations<T: Element>() -> Vec<LinearOperation<T>> {
    vec![
        ("linear::par_sum_gradient", |head, x, t| {
            let (_, mut sums, _) = start(head, x, None, 1)?;
            head.par_sum_gradient(x, t, &mut LossSum::new(), &mut sums)
        }),
        ("linear::par_hessian_vector", |head, x, t| {
            let (direction, (_, mut sums, _)) = start_hessian_vector(head, x)?;
            head.par_hessian_vector(x, t, &direction, &mut sums)
        }),
        ("linear::par_gram", |head, x, t| {
            let (mut sums, _) = start_gram(head, x, head.hessian_scale()?)?;
            head.par_gram(x, t, Factor::Hessian, &mut sums)
        }),
        ("linear::par_sum_gradient_gram", |head, x, t| {
            let (_, mut sums, _) = start(head, x, None, 1)?;
            let (mut gram, _) = start_gram(head, x, head.hessian_scale()?)?;
            let (of, loss) = (Factor::Hessian, &mut LossSum::new());
            head.par_sum_gradient_gram(x, t, of, loss, &mut sums, &mut gram)
        }),
    ]
}

/// On features by rows, by rows with gaps, and in columns.
fn call_linear<T: Element>(
    rows: usize,
    backend: Backend,
    mode: Mode<T>,
    operation: LinearOperation<T>,
    run: impl Fn(&mut (dyn FnMut() + Send)),
) {
    const COLUMNS: usize = 11;
    let value = |i: usize| T::of((i * 7919 % 1000) as f64 / 500.0 - 1.0);
    let t: Vec<T> = (0..rows).map(target).collect();
    let weights: Vec<T> = (0..rows).map(|i| T::of((i % 5) as f64)).collect();
    let data: Vec<T> = (0..rows * (COLUMNS + 1)).map(value).collect();
    let columns: Vec<&[T]> = data.chunks(rows.max(1)).take(COLUMNS).collect();
    let coefficients: Vec<T> = (0..COLUMNS).map(value).collect();
    let layouts = [
        Features::rows(&data[..rows * COLUMNS], rows, COLUMNS),
        Features::strided(&data, rows, COLUMNS, COLUMNS + 1),
        Features::columns(&columns, rows),
    ];
    for x in layouts {
        let x = x.expect("lengths that agree");
        let x = x.part(0..x.row_count());
        assert!(x.get(0, COLUMNS - 1).is_some());
        let bce = Bce::new().backend(backend).expect("it is available");
        let head = Head::new(&coefficients).bce(mode.1(bce, &weights));
        let head = head.intercept(T::of(0.25)).offset(&weights);
        let mut result = Ok(());
        run(&mut || result = operation.1(&head, &x, &t));
        assert_eq!(result, Ok(()), "{}", operation.0);
    }
}

/// What sums of columns and their scales do by themselves.
fn column_sums() -> Result<(), Error> {
    let scale = ColumnScale::from_exponent(3).expect("in range");
    let scale = ColumnScale::from_bytes(&scale.merge(ColumnScale::ONE).to_bytes())?;
    let mut sum = ColumnSum::new(scale, scale)?;
    sum.merge(&ColumnSum::from_bytes(&sum.to_bytes())?)?;
    ColumnSum::of_products(scale, scale, scale)?;
    let exponents = [
        scale.exponent(),
        sum.column_exponent(),
        sum.factor_exponent(),
        sum.unit_exponent(),
    ];
    black_box(exponents);
    assert_eq!((sum.to_f64(), sum.units(), sum.rows()), (0.0, 0, 0));
    assert_eq!(scale.bound(), 8.0);
    Ok(())
}

/// Every kind, and some in each lane of a vector.
fn logit<T: Element>(i: usize) -> T {
    T::of(match i % 37 {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => f64::NAN,
        3 => 1e30,
        4 => -95.0,
        5 => -740.0,
        6 => 1e-40,
        _ => (i * 7919 % 1000) as f64 / 50.0 - 10.0,
    })
}

fn target<T: Element>(i: usize) -> T {
    let logit = (i * 7919 % 1000) as f64 / 50.0 - 10.0;
    T::of(match i % 7 {
        0 => 0.0,
        1 => 1.0,
        // Near the sigmoid of its logit: the hardest for the exact mode.
        2 => 1.0 / (1.0 + (-logit).exp()),
        _ => (i * 104_729 % 1009) as f64 / 1008.0,
    })
}

fn arrays<T: Element>(length: usize) -> Arrays<T> {
    Arrays {
        z: (0..length).map(logit).collect(),
        t: (0..length).map(target).collect(),
        a: vec![T::of(0.0); length],
        b: vec![T::of(0.0); length],
        c: vec![T::of(0.0); length],
    }
}

/// On good arrays of the lengths, and on one that has a bad target.
fn call<T: Element>(
    lengths: &[usize],
    backend: Backend,
    mode: Mode<T>,
    operation: Operation<T>,
    run: impl Fn(&mut (dyn FnMut() + Send)),
) {
    for (index, length) in lengths.iter().chain(lengths.last()).enumerate() {
        let mut arrays = arrays(*length);
        let weights: Vec<T> = (0..*length).map(|i| T::of((i % 5) as f64)).collect();
        let bad = index == lengths.len();
        if bad {
            arrays.t[length - 2] = T::of(f64::NAN);
        }
        let bce = Bce::new().backend(backend).expect("it is available");
        let bce = mode.1(bce, &weights);
        let mut result = Ok(());
        run(&mut || result = operation.1(&bce, &mut arrays));
        let expected = match result {
            Ok(()) | Err(Error::Empty) => !bad,
            Err(Error::TargetOutOfRange { index, .. }) => bad && index == length - 2,
            Err(_) => false,
        };
        assert!(expected, "{} of {length}: {result:?}", operation.0);
    }
}

fn cases_of<T: Element>(cases: &mut Vec<Case>) {
    let of = T::NAME;
    for backend in Backend::available() {
        for mode in T::modes() {
            for operation in operations() {
                let name = format!("{of} {} {} {}", backend.name(), mode.0, operation.0);
                let run = move |bytes| {
                    call::<T>(&LENGTHS, backend, mode, operation, |call| {
                        on_stack(bytes, call);
                    });
                };
                cases.push((name, Box::new(run)));
            }
            for operation in parallel_operations() {
                let name = format!("{of} {} {} {}", backend.name(), mode.0, operation.0);
                let run = move |bytes| {
                    call::<T>(&[100, PARALLEL], backend, mode, operation, |call| {
                        in_pool(bytes, call);
                    });
                };
                cases.push((name, Box::new(run)));
            }
        }
        // The linear head has no classes, and its rows' weights are those of elements.
        let excluded = ["rows and classes", "excess over a teacher"];
        let of_vectors = |mode: &Mode<T>| !excluded.contains(&mode.0);
        for mode in T::modes().into_iter().filter(of_vectors) {
            for operation in linear_operations() {
                let name = format!("{of} {} {} {}", backend.name(), mode.0, operation.0);
                let run = move |bytes| {
                    call_linear::<T>(700, backend, mode, operation, |call| on_stack(bytes, call));
                };
                cases.push((name, Box::new(run)));
            }
            for operation in parallel_linear_operations() {
                let name = format!("{of} {} {} {}", backend.name(), mode.0, operation.0);
                let run = move |bytes| {
                    call_linear::<T>(7000, backend, mode, operation, |call| in_pool(bytes, call));
                };
                cases.push((name, Box::new(run)));
            }
        }
        // Outputs so large that they are written past the caches, which only these can.
        let streams = !["scalar", "wide"].contains(&backend.name());
        for operation in operations() {
            if streams && ["loss", "gradient_hessian"].contains(&operation.0) {
                let name = format!("{of} {} streamed {}", backend.name(), operation.0);
                let run = move |bytes| {
                    let lengths = [(16 << 20) / size_of::<T>() + 99];
                    call::<T>(&lengths, backend, modes()[0], operation, |call| {
                        on_stack(bytes, call);
                    });
                };
                cases.push((name, Box::new(run)));
            }
        }
    }
    for (name, function) in T::functions() {
        let run = move |bytes| {
            for length in LENGTHS {
                let mut arrays = arrays::<T>(length);
                let mut result = Ok(());
                on_stack(bytes, || result = function(&arrays.z, &mut arrays.a));
                assert_eq!(result, Ok(()), "{name}");
            }
        };
        cases.push((format!("{of} {name}"), Box::new(run)));
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases_of::<f32>(&mut cases);
    cases_of::<f64>(&mut cases);
    let sums = |bytes| {
        let values: Vec<f32> = (0..3000).map(|i| i as f32).collect();
        on_stack(bytes, || {
            let mut sum = LossSum::new();
            sum.add(1e300);
            sum.add(-1e-300);
            let other = LossSum::from_bytes(&sum.to_bytes()).expect("its own bytes");
            sum.merge(&other);
            sum.add_slice(&values);
            assert_eq!((sum.to_f64(), sum.count()), (2e300, 3004));
            assert_eq!(sum.divided_by(&sum), 1.0);
        });
    };
    cases.push(("LossSum".into(), Box::new(sums)));
    let columns = |bytes| on_stack(bytes, || assert_eq!(column_sums(), Ok(())));
    cases.push(("ColumnSum".into(), Box::new(columns)));
    let detection = |bytes| {
        on_stack(bytes, || assert!(Backend::detect().is_available()));
    };
    cases.push(("Backend".into(), Box::new(detection)));
    cases
}

/// The public functions that this file does not call.
fn forgotten() -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    let here = include_str!("stack.rs");
    let root = std::fs::read_to_string(source.join("lib.rs")).expect("a file of src");
    let mut forgotten = Vec::new();
    // Modules that are public, or that something public comes from.
    let modules = root.lines().chain(["pub mod par;"]).filter_map(|line| {
        let line = line.strip_prefix("pub ")?;
        let line = line.strip_prefix("mod ").or(line.strip_prefix("use "))?;
        line.split([';', ':']).next()
    });
    let mut files = Vec::new();
    for module in modules {
        files.push(source.join(format!("{module}.rs")));
        if let Ok(below) = source.join(module).read_dir() {
            files.extend(below.map(|entry| entry.expect("a file of src").path()));
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of src");
        for line in text.lines() {
            let line = line.trim_start().replace("const ", "");
            if let Some((name, _)) = line
                .strip_prefix("pub fn ")
                .and_then(|rest| rest.split_once(['(', '<']))
            {
                let called = |before: &str| {
                    let written = |after| here.contains(&format!("{before}{name}{after}"));
                    ["(", ")", ","].into_iter().any(written)
                };
                if ![".", "::", " "].into_iter().any(called) {
                    forgotten.push(format!("{name} of {}", file.display()));
                }
            }
        }
    }
    forgotten
}

/// Whether the case runs to its end in a process of its own; whether it overflowed, if not.
fn succeeds(name: &str, bytes: usize) -> Result<(), bool> {
    let output = Command::new(env::current_exe().expect("a path"))
        .args(["--child", name, &bytes.to_string()])
        .stdout(Stdio::null())
        .output()
        .expect("it starts");
    if output.status.success() {
        return Ok(());
    }
    // A signal, as of an overflow, leaves no code; a panic does.
    let overflowed = output.status.code().is_none();
    if !overflowed {
        eprint!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Err(overflowed)
}

/// How many KiB the case needs, up to `MOST`.
fn needed(name: &str) -> Option<usize> {
    let (mut too_little, mut enough) = (0, MOST / KIB);
    succeeds(name, MOST).ok()?;
    while enough - too_little > 1 {
        let between = (too_little + enough) / 2;
        match succeeds(name, between * KIB) {
            Ok(()) => enough = between,
            Err(_) => too_little = between,
        }
    }
    Some(enough * KIB)
}

/// On as many threads as there are cores, in the order of the cases.
fn for_each<R: Send>(names: &[&str], of: impl Fn(&str) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push((*name, of(name)));
        }
        results
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(&str, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|results| results.expect("no panic"))
            .collect()
    });
    let place = |name: &str| names.iter().position(|other| *other == name);
    all.sort_by_key(|(name, _)| place(name));
    all.into_iter().map(|(_, result)| result).collect()
}

/// A frame of 200 KiB: what shows that overflows are seen, and figures right.
#[inline(never)]
fn planted() {
    let frame = [black_box(1_u8); 200 << 10];
    black_box(&frame);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--child", name, bytes] = arguments[..] {
        let bytes = bytes.parse().expect("a number");
        if name == "planted" {
            on_stack(bytes, planted);
            return ExitCode::SUCCESS;
        }
        let cases = cases();
        let case = cases.iter().find(|(other, _)| other == name);
        case.expect("a name").1(bytes);
        return ExitCode::SUCCESS;
    }
    let numbers = || -> Option<Vec<usize>> { arguments.iter().map(|a| a.parse().ok()).collect() };
    let (limits, filter) = match (&arguments[..], numbers()) {
        (["--measure"], _) => (None, ""),
        (["--measure", filter], _) => (None, *filter),
        ([_, _, _], Some(limits)) => (Some(limits), ""),
        _ => {
            eprintln!("stack KIB LINEAR POOLS, or stack --measure [FILTER]");
            return ExitCode::from(2);
        }
    };

    let forgotten = forgotten();
    if !forgotten.is_empty() {
        eprintln!("called by no case: {forgotten:?}");
        return ExitCode::FAILURE;
    }
    let planted = needed("planted").map_or(0, |bytes| bytes >> 10);
    if !(200..=202).contains(&planted) {
        eprintln!("a frame of 200 KiB is measured as {planted} KiB");
        return ExitCode::FAILURE;
    }
    let cases = cases();
    let names: Vec<&str> = cases
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.contains(filter))
        .collect();
    let Some(limits) = limits else {
        let mut needs: Vec<_> = for_each(&names, needed).into_iter().zip(&names).collect();
        needs.sort();
        for (bytes, name) in needs {
            match bytes {
                Some(bytes) => println!("{:6} KiB  {name}", bytes >> 10),
                None => println!("fails in {} KiB  {name}", MOST >> 10),
            }
        }
        return ExitCode::SUCCESS;
    };
    let limit = |name: &str| {
        let kind = if name.contains("par_") {
            2
        } else {
            usize::from(name.contains("linear::"))
        };
        limits[kind] << 10
    };
    let results = for_each(&names, |name| succeeds(name, limit(name)));
    let mut failed = 0;
    for (name, result) in names.iter().zip(results) {
        if let Err(overflowed) = result {
            failed += 1;
            let outcome = if overflowed { "overflows" } else { "FAILED in" };
            println!("{name}: {outcome} {} KiB", limit(name) >> 10);
        }
    }
    println!(
        "{} of {} calls run in {} KiB of stack, the linear head in {}, threads of a pool in {}",
        names.len() - failed,
        names.len(),
        limits[0],
        limits[1],
        limits[2]
    );
    ExitCode::from(u8::from(failed > 0 || names.is_empty()))
}
