//! soft-bce beside loops over other vector mathematics, in one interleaved run: `benches/peers/run.sh`, which
//! fetches the libraries and builds this for the CPU at hand.
//!
//! The peers' loops check nothing, have no rest (lengths are whole vectors), and add losses up in vectors of the
//! element's type. They compute near |z| + log1p(e^-|z|) and ±(near - e/(1 + e)), with near = t for z < 0, else
//! 1 - t, whose terms do not cancel, eight vectors at a time: all e, then all log1p, then the results; "plain" is
//! 1/(1 + e^-z) - t instead. The error of each is the largest over a sample,
//! against MPFR.
#![cfg(all(
    target_arch = "x86_64",
    target_feature = "avx2",
    target_feature = "fma"
))]

#[path = "../cases/mod.rs"]
mod cases;
#[path = "../report/measure.rs"]
#[allow(dead_code, reason = "the report's")]
mod measure;
#[path = "../report/render.rs"]
mod render;

use std::arch::x86_64::*;
use std::error::Error;
use std::hint::black_box;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::path::PathBuf;

use cases::{Buffers, Operation, Std, Task};
use clap::Parser;
use libloading::Library;
use measure::{Case, gigahertz, measure};
use render::{Table, cpu, number, output};
use soft_bce::{Backend, Bce};
use soft_bce_oracle::format::Format;
use soft_bce_oracle::mpfr::{self, Function, Input, Truth};
use soft_bce_oracle::ulp;
use wide::{f32x8, f64x4};

const LENGTHS: [usize; 6] = [16, 64, 256, 1 << 10, 16 << 10, 1 << 20];
const OPERATIONS: [Operation; 3] = [Operation::Loss, Operation::Gradient, Operation::SumGradient];
/// Short calls go round in this many elements.
const RING: usize = 1024;
/// What counts as accurate, in ULP.
const ACCURATE: f64 = 4.0;

#[derive(Parser)]
struct Options {
    /// libsvml.so, with libintlc.so.5 where the loader finds it.
    #[arg(long)]
    svml: PathBuf,
    /// libsleef.so.3.
    #[arg(long)]
    sleef: PathBuf,
    /// Where peers.md goes.
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Elements of the sample for the errors.
    #[arg(long, default_value_t = 40_000)]
    sample: usize,
}

/// A vector of `wide`.
trait Vector:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    type Real: Std + Format;
    /// As C passes it.
    type Raw: Copy + 'static;
    const LANES: usize;
    const BACKEND: Backend;
    /// The parts of function names in SVML: between `exp` or `log1p` and the accuracy, and at the end.
    const SVML: [&'static str; 2];
    /// The same in SLEEF, between which is `_u10`.
    const SLEEF: [&'static str; 2];
    fn load(from: &[Self::Real]) -> Self;
    fn store(self, to: &mut [Self::Real]);
    fn splat(value: f64) -> Self;
    fn abs(self) -> Self;
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `then` where this is below 0.
    fn negative(self, then: Self, otherwise: Self) -> Self;
    fn total(self) -> f64;
    fn exp(self) -> Self;
    fn log1p(self) -> Self;
    fn raw(self) -> Self::Raw;
    fn of_raw(raw: Self::Raw) -> Self;
}

macro_rules! vector {
    ($vector:ident $real:ident $lanes:literal $raw:ident $backend:ident $svml:expr, $sleef:expr) => {
        impl Vector for $vector {
            type Real = $real;
            type Raw = $raw;
            const LANES: usize = $lanes;
            const BACKEND: Backend = Backend::$backend;
            const SVML: [&'static str; 2] = $svml;
            const SLEEF: [&'static str; 2] = $sleef;
            #[inline(always)]
            fn load(from: &[$real]) -> Self {
                let array: [$real; $lanes] = from.try_into().expect("a vector's elements");
                array.into()
            }
            #[inline(always)]
            fn store(self, to: &mut [$real]) {
                to.copy_from_slice(&self.to_array());
            }
            #[inline(always)]
            fn splat(value: f64) -> Self {
                $vector::splat(value as $real)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                self.mul_add(factor, addend)
            }
            #[inline(always)]
            fn negative(self, then: Self, otherwise: Self) -> Self {
                self.simd_lt($vector::splat(0.0)).select(then, otherwise)
            }
            fn total(self) -> f64 {
                self.reduce_add().into()
            }
            #[inline(always)]
            fn exp(self) -> Self {
                self.exp()
            }
            #[inline(always)]
            fn log1p(self) -> Self {
                self.ln_1p()
            }
            #[inline(always)]
            fn raw(self) -> $raw {
                self.into()
            }
            #[inline(always)]
            fn of_raw(raw: $raw) -> Self {
                raw.into()
            }
        }
    };
}
vector!(f32x8 f32 8 __m256 Avx2 ["f8", "_l9"], ["f8", "avx2"]);
vector!(f64x4 f64 4 __m256d Avx2 ["4", "_l9"], ["d4", "avx2"]);
#[cfg(target_feature = "avx512f")]
use wide::{f32x16, f64x8};
#[cfg(target_feature = "avx512f")]
vector!(f32x16 f32 16 __m512 Avx512 ["f16", "_z0"], ["f16", "avx512f"]);
#[cfg(target_feature = "avx512f")]
vector!(f64x8 f64 8 __m512d Avx512 ["8", "_z0"], ["d8", "avx512f"]);

/// What a peer brings.
trait Maths<V>: Copy + 'static {
    fn exp(self, x: V) -> V;
    fn log1p(self, x: V) -> V;
}

#[derive(Clone, Copy)]
struct Wide;

impl<V: Vector> Maths<V> for Wide {
    #[inline(always)]
    fn exp(self, x: V) -> V {
        x.exp()
    }
    #[inline(always)]
    fn log1p(self, x: V) -> V {
        x.log1p()
    }
}

type CFunction<R> = unsafe extern "C" fn(R) -> R;

#[derive(Clone, Copy)]
struct Loaded<R> {
    exp: CFunction<R>,
    log1p: CFunction<R>,
}

impl<R> Loaded<R> {
    fn new(library: &'static Library, names: [String; 2]) -> Result<Self, Box<dyn Error>> {
        // SAFETY: the libraries' functions of these names take and return one vector.
        let [exp, log1p] =
            names.map(|name| unsafe { library.get::<CFunction<R>>(name.as_bytes()) });
        Ok(Self {
            exp: *exp?,
            log1p: *log1p?,
        })
    }
}

impl<V: Vector> Maths<V> for Loaded<V::Raw> {
    #[inline(always)]
    fn exp(self, x: V) -> V {
        // SAFETY: a function of numbers.
        V::of_raw(unsafe { (self.exp)(x.raw()) })
    }
    #[inline(always)]
    fn log1p(self, x: V) -> V {
        // SAFETY: as above.
        V::of_raw(unsafe { (self.log1p)(x.raw()) })
    }
}

/// The loss to `out`; the gradient to `out`; or the gradient to `out` and the sum of the losses.
fn apply<V: Vector, M: Maths<V>, const LOSS: bool, const GRADIENT: bool, const PLAIN: bool>(
    maths: M,
    z: &[V::Real],
    t: &[V::Real],
    out: &mut [V::Real],
) -> f64 {
    const GROUP: usize = 8;
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (mut e, mut log1p, mut sum) = ([zero; GROUP], [zero; GROUP], zero);
    let group = GROUP * V::LANES;
    let pairs = z.chunks(group).zip(t.chunks(group));
    for ((z, t), out) in pairs.zip(out.chunks_mut(group)) {
        for (e, z) in e.iter_mut().zip(z.chunks_exact(V::LANES)) {
            let z = V::load(z);
            *e = maths.exp(if PLAIN { -z } else { -z.abs() });
        }
        if LOSS {
            let vectors = z.len() / V::LANES;
            for (log1p, &e) in log1p.iter_mut().zip(&e[..vectors]) {
                *log1p = maths.log1p(e);
            }
        }
        let results = e.iter().zip(&log1p).zip(out.chunks_exact_mut(V::LANES));
        let inputs = z.chunks_exact(V::LANES).zip(t.chunks_exact(V::LANES));
        for ((z, t), ((&e, &log1p), out)) in inputs.zip(results) {
            let (z, t) = (V::load(z), V::load(t));
            let near = z.negative(t, one - t);
            let loss = near.mul_add(z.abs(), log1p);
            if PLAIN {
                (one / (one + e) - t).store(out);
            } else if GRADIENT {
                let gradient = near - e / (one + e);
                z.negative(-gradient, gradient).store(out);
                if LOSS {
                    sum = sum + loss;
                }
            } else {
                loss.store(out);
            }
        }
    }
    sum.total()
}

type Run<T> = Box<dyn Fn(Operation, &[T], &[T], &mut [T]) -> f64>;

struct Subject<T> {
    name: String,
    /// Whether it computes nothing but gradients.
    gradient_alone: bool,
    run: Run<T>,
}

impl<T: Std> Subject<T> {
    fn new(name: &str, run: impl Fn(Operation, &[T], &[T], &mut [T]) -> f64 + 'static) -> Self {
        Self {
            name: name.to_owned(),
            gradient_alone: false,
            run: Box::new(run),
        }
    }

    fn of<V: Vector<Real = T>, M: Maths<V>>(name: &str, maths: M) -> Self {
        Self::new(name, move |operation, z, t, out| match operation {
            Operation::Loss => apply::<V, M, true, false, false>(maths, z, t, out),
            Operation::Gradient => apply::<V, M, false, true, false>(maths, z, t, out),
            _ => apply::<V, M, true, true, false>(maths, z, t, out),
        })
    }

    fn plain<V: Vector<Real = T>, M: Maths<V>>(name: &str, maths: M) -> Self {
        Self {
            gradient_alone: true,
            ..Self::new(name, move |_, z, t, out| {
                apply::<V, M, false, true, true>(maths, z, t, out)
            })
        }
    }
}

/// soft-bce is the first.
fn subjects<V: Vector>(
    [svml, sleef]: [&'static Library; 2],
) -> Result<Vec<Subject<V::Real>>, Box<dyn Error>> {
    let bce = Bce::<V::Real>::new().backend(V::BACKEND)?;
    let mut subjects = vec![Subject::new("soft-bce", move |operation, z, t, out| {
        let done = match operation {
            Operation::Loss => bce.loss(z, t, out).map(|()| 0.0),
            Operation::Gradient => bce.gradient(z, t, out).map(|()| 0.0),
            _ => bce.sum_gradient(z, t, out),
        };
        done.expect("the inputs are valid")
    })];
    let of_svml = |accuracy: &str| {
        let [kind, isa] = V::SVML;
        let names = ["exp", "log1p"].map(|name| format!("__svml_{name}{kind}{accuracy}{isa}"));
        Loaded::new(svml, names)
    };
    subjects.push(Subject::of::<V, _>("SVML, high accuracy", of_svml("_ha")?));
    subjects.push(Subject::of::<V, _>("SVML, default", of_svml("")?));
    subjects.push(Subject::plain::<V, _>("SVML, default, plain", of_svml("")?));
    subjects.push(Subject::of::<V, _>("SVML, low accuracy", of_svml("_ep")?));
    let [kind, isa] = V::SLEEF;
    let names = ["exp", "log1p"].map(|name| format!("Sleef_{name}{kind}_u10{isa}"));
    subjects.push(Subject::of::<V, _>(
        "SLEEF, 1.0 ULP",
        Loaded::new(sleef, names)?,
    ));
    subjects.push(Subject::of::<V, _>("wide", Wide));
    subjects.push(Subject::new("loop over std", |operation, z, t, out| {
        Task::Call(operation).std_loop(z, t, out, &mut [])
    }));
    Ok(subjects)
}

/// Inputs whose results a peer's error is measured on, with what is right: loss and gradient.
struct Sample<T> {
    z: Vec<T>,
    t: Vec<T>,
    truths: [Vec<Truth>; 2],
}

impl<T: Std + Format> Sample<T> {
    /// Half of the logits typical, half spread up to where f32 results are hardly normal; half of the
    /// targets hard.
    fn new(length: usize) -> Self {
        let typical = Buffers::<T>::typical(length);
        let pair = |i: usize| {
            let z = <T as cases::Format>::to_f64(typical.z.get()[i]);
            let t = <T as cases::Format>::to_f64(typical.t.get()[i]);
            let spread = (i as f64 / length as f64 - 0.5) * 160.0;
            let z = if i % 4 < 2 { z } else { spread };
            let t = if i.is_multiple_of(2) { t } else { t.round() };
            (
                <T as cases::Format>::from_f64(z),
                <T as cases::Format>::from_f64(t),
            )
        };
        let (z, t): (Vec<T>, Vec<T>) = (0..length).map(pair).unzip();
        let truths = [Function::Loss, Function::Gradient].map(|function| {
            let pairs = z.iter().zip(&t);
            let truth = |(&z, &t): (&T, &T)| {
                let input = Input {
                    z: <T as cases::Format>::to_f64(z),
                    t: <T as cases::Format>::to_f64(t),
                    weight: 1.0,
                };
                mpfr::truth::<T>(function, input, mpfr::Options::default())
            };
            pairs.map(truth).collect()
        });
        Self { z, t, truths }
    }

    /// The largest errors of loss and gradient; NaN where it does not compute them.
    fn errors(&self, of: &Subject<T>) -> [f64; 2] {
        let mut out = self.z.clone();
        let operations = [Operation::Loss, Operation::Gradient];
        [0, 1].map(|i| {
            if of.gradient_alone && operations[i] == Operation::Loss {
                return f64::NAN;
            }
            (of.run)(operations[i], &self.z, &self.t, &mut out);
            let errors = out.iter().zip(&self.truths[i]);
            errors
                .map(|(&found, truth)| ulp::error(found, truth))
                .fold(0.0, f64::max)
        })
    }
}

/// The table of one vector type, and what in it is faster than soft-bce and accurate.
fn compare<V: Vector>(
    options: &Options,
    libraries: [&'static Library; 2],
    sample: &Sample<V::Real>,
    ahead: &mut Table,
) -> Result<String, Box<dyn Error>> {
    let type_name = <V::Real as cases::Format>::NAME;
    let subjects = subjects::<V>(libraries)?;
    let errors: Vec<[f64; 2]> = subjects.iter().map(|of| sample.errors(of)).collect();
    let mut buffers = Buffers::<V::Real>::typical(LENGTHS[LENGTHS.len() - 1]);
    let lengths = LENGTHS.map(|n| n.to_string());
    let mut head = vec!["operation", "by"];
    head.extend(lengths.iter().map(String::as_str));
    head.extend(["loss, ULP", "gradient, ULP"]);
    let mut table = Table::new(&head);
    for operation in OPERATIONS {
        let alone = operation == Operation::Gradient;
        let chosen: Vec<usize> = (0..subjects.len())
            .filter(|&i| alone || !subjects[i].gradient_alone)
            .collect();
        let times = LENGTHS.map(|n| {
            let places = (RING / n).max(1);
            let case = |&i: &usize| {
                let run = &subjects[i].run;
                Case::new(
                    places * n,
                    move |Buffers { z, t, g, .. }: &mut Buffers<V::Real>| {
                        for place in 0..places {
                            let at = black_box(place * n);
                            let (z, t) = (&z.get()[at..][..n], &t.get()[at..][..n]);
                            black_box(run(operation, z, t, &mut g.get_mut()[at..][..n]));
                        }
                    },
                )
            };
            let cases: Vec<_> = chosen.iter().map(case).collect();
            measure(options.rounds, &mut buffers, &cases)
        });
        for (row, &i) in chosen.iter().enumerate() {
            let [loss, gradient] = errors[i];
            let error = match operation {
                Operation::Loss => loss,
                Operation::Gradient => gradient,
                _ => loss.max(gradient),
            };
            let name = &subjects[i].name;
            let mut cells = vec![operation.name().into(), name.as_str().into()];
            cells.extend(times.iter().map(|times| number(times[row], 3)));
            let ratios = times.iter().map(|times| times[row] / times[0]);
            let ratios: Vec<f64> = ratios.map(|x| if x < 1.0 { x } else { f64::NAN }).collect();
            if error <= ACCURATE && !ratios.iter().all(|ratio| ratio.is_nan()) {
                let place = format!("{type_name}, {}", V::BACKEND.name());
                let mut cells = vec![place, operation.name().into(), name.clone()];
                cells.extend(ratios.iter().map(|&ratio| number(ratio, 2)));
                ahead.push(cells);
            }
            let ulps = |error: f64| match error {
                error if error.is_nan() => String::new(),
                error if error < 1e4 => number(error, 2),
                error => format!("{error:.0e}"),
            };
            cells.extend([
                ulps(if alone { f64::NAN } else { loss }),
                ulps(if operation == Operation::Loss {
                    f64::NAN
                } else {
                    gradient
                }),
            ]);
            table.push(cells);
        }
    }
    Ok(format!(
        "## {type_name}, {}\n\n{}\n",
        V::BACKEND.name(),
        table.markdown()
    ))
}

const HEAD: &str = "\
Made by `benches/peers/run.sh`. Nanoseconds an element, one thread, lower quartiles of rounds in which all of a column's
are measured in turn; short calls at changing places of 1,024 elements. What the peers are and leave out is in
[benches/peers/main.rs](../../../benches/peers/main.rs): soft-bce checks its targets, and its sums are exact. ULP: the largest error of
the operation's results in a sample, by the oracle's measure, half of it hard labels, logits up to 80.
All but the libraries, soft-bce too, is compiled for the CPU at hand, as `wide` wants it; as most build it, it is in
[report.md](report.md).";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    // SAFETY: both libraries are made to be loaded; they stay.
    let libraries = [&options.svml, &options.sleef]
        .map(|path| unsafe { Library::new(path) }.map(|library| &*Box::leak(Box::new(library))));
    let [svml, sleef] = libraries;
    let libraries = [svml?, sleef?];
    let lengths = LENGTHS.map(|n| n.to_string());
    let mut head = vec!["", "operation", "by"];
    head.extend(lengths.iter().map(String::as_str));
    let mut ahead = Table::new(&head);
    let mut tables = String::new();
    let (single, double) = (Sample::new(options.sample), Sample::new(options.sample));
    #[cfg(target_feature = "avx512f")]
    {
        tables += &compare::<f32x16>(&options, libraries, &single, &mut ahead)?;
        tables += &compare::<f64x8>(&options, libraries, &double, &mut ahead)?;
    }
    tables += &compare::<f32x8>(&options, libraries, &single, &mut ahead)?;
    tables += &compare::<f64x4>(&options, libraries, &double, &mut ahead)?;
    let text = format!(
        "# Peers\n\n{HEAD}\n\n{}, commit {}. CPU: {}, {:.2} GHz, for which all but the libraries was compiled.\n\n\
         ## Within {ACCURATE} ULP, and faster than soft-bce\n\nTheir times divided by soft-bce's.\n\n{}\n{}\n",
        output("date", &["-u", "+%-d %B %Y"]),
        output("git", &["rev-parse", "--short", "HEAD"]),
        cpu(),
        gigahertz(),
        ahead.markdown(),
        tables.trim_end(),
    );
    print!("{text}");
    std::fs::write(&options.out, text)?;
    Ok(())
}
