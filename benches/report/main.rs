//! The essential measurements in two minutes: `cargo bench --bench report`.
//!
//! Prints tables and writes them to `target/speed` (or `-- --out DIR`) as `report.md`,
//! `report.json` and `roofline.svg`. One thread unless a row says otherwise.
//!
//! * All cases of a table are measured in turn, round after round, together with the
//!   baselines they are compared with; the median over the rounds counts.
//! * The clock is that of a chain of dependent integer additions, one cycle each, measured
//!   in every round.
//! * The stream kernels only read or write: as wide, prefetched as far ahead and, from the
//!   same size on, stored past the caches as the library's walk is.
//! * The std loop computes the textbook formulas with std's `exp` and `ln_1p`. For long
//!   inputs it runs on the first 2 M elements: it is bound by computing.

mod cases;

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cases::{Aligned, BACKENDS, Buffers, Element, Operation, uniform};
use clap::Parser;
use indicatif::ProgressBar;
use plotters::prelude::*;
use serde_json::json;
use soft_bce::{Backend, Bce};

#[derive(Parser)]
struct Options {
    /// Where report.md, report.json and roofline.svg go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/speed"))]
    out: PathBuf,
    /// Rounds per table.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Only this backend.
    #[arg(long)]
    backend: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Each case is repeated for at least this long in every round.
const SLICE: Duration = Duration::from_millis(3);
const LONGEST_STD_LOOP: usize = 2 << 20;

// ---- measuring

struct Case<'a, B> {
    /// What one run's time is divided by.
    units: usize,
    run: Box<dyn Fn(&mut B) + 'a>,
}

impl<'a, B> Case<'a, B> {
    fn new(units: usize, run: impl Fn(&mut B) + 'a) -> Self {
        Self {
            units,
            run: Box::new(run),
        }
    }

    fn time(&self, buffers: &mut B, repetitions: usize) -> f64 {
        let start = Instant::now();
        for _ in 0..repetitions {
            (self.run)(buffers);
        }
        start.elapsed().as_secs_f64() * 1e9 / (repetitions * self.units) as f64
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => f64::midpoint(values[(n - 1) / 2], values[n / 2]),
    }
}

struct Meter {
    rounds: usize,
    gigahertz: Vec<f64>,
    bar: ProgressBar,
}

impl Meter {
    /// Median nanoseconds per unit of each case.
    fn measure<B>(&mut self, name: &str, buffers: &mut B, cases: &[Case<'_, B>]) -> Vec<f64> {
        let repetitions: Vec<usize> = cases
            .iter()
            .map(|case| {
                case.time(buffers, 1);
                let once = case.time(buffers, 1) * 1e-9 * case.units as f64;
                (SLICE.as_secs_f64() / once).ceil().max(1.0) as usize
            })
            .collect();
        self.bar.set_message(name.to_owned());
        self.bar.inc_length((self.rounds * cases.len()) as u64);
        let mut times = vec![Vec::new(); cases.len()];
        for _ in 0..self.rounds {
            self.gigahertz.extend(gigahertz());
            for ((case, &repetitions), times) in cases.iter().zip(&repetitions).zip(&mut times) {
                // Untimed: brings the case's data to where it stays while it repeats.
                if case.units < 1 << 20 {
                    case.time(buffers, 1);
                }
                times.push(case.time(buffers, repetitions));
                self.bar.inc(1);
            }
        }
        times.iter_mut().map(|times| median(times)).collect()
    }
}

/// Cycles per nanosecond, where the architecture has the addition below.
fn gigahertz() -> Option<f64> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        const STEPS: u32 = 100_000;
        let start = Instant::now();
        let mut value = 1_u64;
        for _ in 0..STEPS {
            // SAFETY: additions to a register; nothing else is touched.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                core::arch::asm!(".rept 20", "add {0}, {0}", ".endr", inout(reg) value, options(nomem, nostack));
                #[cfg(target_arch = "aarch64")]
                core::arch::asm!(".rept 20", "add {0}, {0}, {0}", ".endr", inout(reg) value, options(nomem, nostack));
            }
        }
        black_box(value);
        Some(f64::from(STEPS) * 20.0 / (start.elapsed().as_secs_f64() * 1e9))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    None
}

// ---- baselines

/// Kernels that move the same bytes and compute next to nothing.
mod stream {
    /// As in the library's walk over slices.
    #[cfg(target_arch = "x86_64")]
    const PREFETCH_BYTES: usize = 2048;
    const PAST_CACHES_FROM: usize = 16 << 20;

    /// Reads `from` and writes what it read, combined, to `to`; all of the same length, a
    /// multiple of 256 and at cache lines.
    pub fn run(from: &[&[u8]], to: &mut [&mut [u8]]) -> u8 {
        let bytes: usize = to.iter().map(|to| to.len()).sum();
        let past = bytes >= PAST_CACHES_FROM;
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature is there.
            return unsafe { avx512::run(from, to, past) };
        } else if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature is there.
            return unsafe { avx2::run(from, to, past) };
        }
        // Elsewhere what the compiler makes of it.
        let _ = past;
        let mut all = 0;
        for (i, &byte) in from[0].iter().enumerate() {
            let byte = from.get(1).map_or(byte, |from| byte ^ from[i]);
            for to in to.iter_mut() {
                to[i] = byte;
            }
            all ^= byte;
        }
        all
    }

    #[cfg(target_arch = "x86_64")]
    macro_rules! vectors {
        ($name:ident, $feature:literal, $vector:ident, $load:ident, $xor:ident, $store:ident, $stream:ident) => {
            mod $name {
                use std::arch::x86_64::*;

                use super::PREFETCH_BYTES;

                /// Bytes per iteration: what the library's loops take of each input.
                const STEP: usize = 4 * size_of::<$vector>();

                #[target_feature(enable = $feature)]
                pub fn run(from: &[&[u8]], to: &mut [&mut [u8]], past: bool) -> u8 {
                    match (from, to, past) {
                        ([a], [], _) => kernel::<0, false>([a, a], []),
                        ([a, b], [], _) => kernel::<0, false>([a, b], []),
                        ([a], [c], false) => kernel::<1, false>([a, a], [c]),
                        ([a], [c], true) => kernel::<1, true>([a, a], [c]),
                        ([a, b], [c], false) => kernel::<1, false>([a, b], [c]),
                        ([a, b], [c], true) => kernel::<1, true>([a, b], [c]),
                        ([a, b], [c, d], false) => kernel::<2, false>([a, b], [c, d]),
                        ([a, b], [c, d], true) => kernel::<2, true>([a, b], [c, d]),
                        _ => unreachable!("no operation has this traffic"),
                    }
                }

                #[target_feature(enable = $feature)]
                fn kernel<const WRITES: usize, const PAST: bool>(
                    [a, b]: [&[u8]; 2],
                    mut to: [&mut [u8]; WRITES],
                ) -> u8 {
                    let length = to.iter().map(|to| to.len()).min().unwrap_or(a.len());
                    assert!(length.is_multiple_of(STEP) && a.len() >= length && b.len() >= length);
                    assert!(
                        to.iter()
                            .all(|to| to.as_ptr().addr() % size_of::<$vector>() == 0)
                    );
                    let two = a.as_ptr() != b.as_ptr();
                    let targets = to.each_mut().map(|to| to.as_mut_ptr());
                    // SAFETY: zero is a value of the vector; all pointers below stay within
                    // `length` bytes of slices that are at least as long; prefetches read
                    // nothing; streaming stores were checked for alignment.
                    unsafe {
                        let mut all: [$vector; 4] = std::mem::zeroed();
                        let mut at = 0;
                        while at < length {
                            for line in (0..STEP).step_by(64) {
                                let ahead = at + PREFETCH_BYTES + line;
                                _mm_prefetch::<_MM_HINT_T0>(a.as_ptr().wrapping_add(ahead).cast());
                                if two {
                                    _mm_prefetch::<_MM_HINT_T0>(
                                        b.as_ptr().wrapping_add(ahead).cast(),
                                    );
                                }
                            }
                            for (i, all) in all.iter_mut().enumerate() {
                                let at = at + i * size_of::<$vector>();
                                let mut value = $load(a.as_ptr().add(at).cast());
                                if two {
                                    value = $xor(value, $load(b.as_ptr().add(at).cast()));
                                }
                                for target in targets {
                                    if PAST {
                                        $stream(target.add(at).cast(), value);
                                    } else {
                                        $store(target.add(at).cast(), value);
                                    }
                                }
                                if WRITES == 0 {
                                    *all = $xor(*all, value);
                                }
                            }
                            at += STEP;
                        }
                        if PAST {
                            _mm_sfence();
                        }
                        let all: [[u8; size_of::<$vector>()]; 4] = std::mem::transmute(all);
                        all.as_flattened().iter().fold(0, |all, byte| all ^ byte)
                    }
                }
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    vectors!(
        avx2,
        "avx2",
        __m256i,
        _mm256_loadu_si256,
        _mm256_xor_si256,
        _mm256_storeu_si256,
        _mm256_stream_si256
    );
    #[cfg(target_arch = "x86_64")]
    vectors!(
        avx512,
        "avx512f",
        __m512i,
        _mm512_loadu_si512,
        _mm512_xor_si512,
        _mm512_storeu_si512,
        _mm512_stream_si512
    );

    /// The stream kernel of an operation's traffic.
    pub fn like<T: super::Element>(
        operation: super::Operation,
        buffers: &mut super::Buffers<T>,
        n: usize,
    ) {
        let (z, t) = (bytes(&buffers.z.get()[..n]), bytes(&buffers.t.get()[..n]));
        let mut g = bytes_mut(&mut buffers.g.get_mut()[..n]);
        let mut h = bytes_mut(&mut buffers.h.get_mut()[..n]);
        let from = &[z, t][..operation.reads()];
        let all = match operation.writes() {
            0 => run(from, &mut []),
            1 => run(from, &mut [&mut g]),
            _ => run(from, &mut [&mut g, &mut h]),
        };
        std::hint::black_box(all);
    }

    fn bytes<T: super::Element>(of: &[T]) -> &[u8] {
        // SAFETY: `Element` is sealed by `Real`: f32 and f64, which are all bytes.
        unsafe { std::slice::from_raw_parts(of.as_ptr().cast(), size_of_val(of)) }
    }

    fn bytes_mut<T: super::Element>(of: &mut [T]) -> &mut [u8] {
        // SAFETY: as above, and every byte pattern is a float.
        unsafe { std::slice::from_raw_parts_mut(of.as_mut_ptr().cast(), size_of_val(of)) }
    }
}

/// The most f32 operations per nanosecond: independent fused multiply-adds, each two.
fn peak(backend: Backend) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! peak {
            ($name:ident, $feature:literal, $set:ident, $fma:ident, $lanes:literal) => {
                #[target_feature(enable = $feature)]
                fn $name() -> f64 {
                    const STEPS: u32 = 200_000;
                    let (factor, addend) = ($set(black_box(0.5)), $set(black_box(1.0)));
                    let mut values = [$set(black_box(1.0)); 12];
                    let start = Instant::now();
                    for _ in 0..STEPS {
                        for value in &mut values {
                            *value = $fma(*value, factor, addend);
                        }
                    }
                    let elapsed = start.elapsed().as_secs_f64() * 1e9;
                    black_box(values);
                    f64::from(STEPS) * 12.0 * 2.0 * $lanes / elapsed
                }
            };
        }
        use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
        peak!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, 8.0);
        peak!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, 16.0);
        let best = |measure: fn() -> f64| (0..9).map(|_| measure()).fold(0.0, f64::max);
        if !backend.is_available() {
            return None;
        }
        match backend {
            // SAFETY: the backend is available, so its features are.
            Backend::Avx2 => Some(best(|| unsafe { avx2() })),
            // SAFETY: as above.
            Backend::Avx512 => Some(best(|| unsafe { avx512() })),
            _ => None,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = backend;
        None
    }
}

// ---- tables

struct Row {
    element: &'static str,
    n: usize,
    backend: &'static str,
    /// "" or "exact".
    mode: &'static str,
    operation: Operation,
    ns: f64,
    bytes: usize,
    stream: f64,
    std_loop: f64,
}

struct Cliff {
    element: &'static str,
    backend: &'static str,
    name: &'static str,
    ns: f64,
    ratio: f64,
    limit: f64,
}

fn chosen(options: &Options, backend: Backend) -> bool {
    options
        .backend
        .as_ref()
        .is_none_or(|name| name == backend.name())
}

/// Operations against the stream kernels and the std loop.
fn operations<T: Element>(
    options: &Options,
    meter: &mut Meter,
    n: usize,
    backends: &[Backend],
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let mut buffers = Buffers::<T>::typical(n);
    let mut cases = Vec::new();
    let mut labels = Vec::new();
    for &backend in backends {
        for operation in Operation::ALL {
            if operation.obstacle(backend).is_none() && chosen(options, backend) {
                let bce = Bce::<T>::new().backend(backend)?;
                let exact = T::exact(bce).filter(|_| operation != Operation::Sigmoid);
                for (mode, bce) in [("", Some(bce)), ("exact", exact)] {
                    let Some(bce) = bce else { continue };
                    labels.push((backend, mode, operation));
                    cases.push(Case::new(n, move |buffers: &mut Buffers<T>| {
                        black_box(buffers.call(operation, &bce, n));
                    }));
                }
            }
        }
    }
    for operation in Operation::ALL {
        cases.push(Case::new(n, move |buffers| {
            stream::like(operation, buffers, n);
        }));
    }
    for operation in Operation::ALL {
        let n = n.min(LONGEST_STD_LOOP);
        cases.push(Case::new(n, move |buffers: &mut Buffers<T>| {
            let (g, h) = (buffers.g.get_mut(), buffers.h.get_mut());
            let (z, t) = (&buffers.z.get()[..n], &buffers.t.get()[..n]);
            black_box(operation.std_loop(z, t, &mut g[..n], &mut h[..n]));
        }));
    }
    let times = meter.measure(&format!("{} n = {n}", T::NAME), &mut buffers, &cases);
    let (ours, baselines) = times.split_at(labels.len());
    let (streams, std_loops) = baselines.split_at(Operation::ALL.len());
    for (&(backend, mode, operation), &ns) in labels.iter().zip(ours) {
        let index = operation as usize;
        rows.push(Row {
            element: T::NAME,
            n,
            backend: backend.name(),
            mode,
            operation,
            ns,
            bytes: (operation.reads() + operation.writes()) * size_of::<T>(),
            stream: streams[index],
            std_loop: std_loops[index],
        });
    }
    Ok(())
}

/// Nanoseconds per call on few elements, at changing places, with `Bce::new()`.
fn short<T: Element>(meter: &mut Meter, lengths: &[usize]) -> Vec<(Operation, Vec<f64>)> {
    const CALLS: usize = 1000;
    let mut buffers = Buffers::<T>::typical(CALLS + 64);
    let bce = Bce::<T>::new();
    let operations = [
        Operation::Loss,
        Operation::Sum,
        Operation::Gradient,
        Operation::SumGradient,
    ];
    let cases: Vec<_> = operations
        .iter()
        .flat_map(|&operation| lengths.iter().map(move |&n| (operation, n)))
        .map(|(operation, n)| {
            Case::new(CALLS, move |buffers: &mut Buffers<T>| {
                let (z, t) = (buffers.z.get(), buffers.t.get());
                let (g, h) = (buffers.g.get_mut(), buffers.h.get_mut());
                for at in 0..CALLS {
                    let part = black_box(at..at + n);
                    black_box(operation.call(
                        &bce,
                        &z[part.clone()],
                        &t[part.clone()],
                        &mut g[part.clone()],
                        &mut h[part],
                    ));
                }
            })
        })
        .collect();
    let times = meter.measure(&format!("{} short calls", T::NAME), &mut buffers, &cases);
    let mut rows = times.chunks(lengths.len()).map(<[f64]>::to_vec);
    operations
        .iter()
        .map(|&operation| (operation, rows.next().unwrap_or_default()))
        .collect()
}

/// Inputs that could be slow, by sum_gradient against the typical input.
fn cliffs<T: Element>(
    options: &Options,
    meter: &mut Meter,
    found: &mut Vec<Cliff>,
) -> Result<(), Box<dyn Error>> {
    const N: usize = 16 << 10;
    const PAGE: usize = 4096;
    /// A short slice: whole vectors, and a rest.
    const SHORT: usize = 67;
    const CALLS: usize = 64;

    let single = size_of::<T>() == 4;
    // e^-|z| is subnormal here.
    let deep = if single { 95.0 } else { 720.0 };
    let huge = if single { 1e30 } else { 1e300 };
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let hard = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.0 };
    let typical = Buffers::<T>::typical(N);
    let z = |i: usize| typical.z.get()[i].to_f64();
    let t = |i: usize| typical.t.get()[i].to_f64();
    let mut random = uniform(7);
    let random: Vec<f64> = (0..2 * N).map(|_| random()).collect();

    // The first is what the others are compared with.
    let inputs: Vec<(&str, Buffers<T>)> = vec![
        ("typical", Buffers::of(N, z, t)),
        (
            "subnormal results",
            Buffers::of(N, |i| deep * sign(i), hard),
        ),
        (
            "one subnormal result in 512",
            Buffers::of(
                N,
                |i| if i % 512 == 100 { deep } else { z(i) },
                |i| if i % 512 == 100 { 1.0 } else { t(i) },
            ),
        ),
        ("huge logits", Buffers::of(N, |i| huge * sign(i), t)),
        (
            "infinite logits, right targets",
            Buffers::of(N, |i| f64::INFINITY * sign(i), hard),
        ),
        (
            "infinite logits, wrong targets",
            Buffers::of(N, |i| -f64::INFINITY * sign(i), hard),
        ),
        ("hard labels", Buffers::of(N, z, |i| t(i).round())),
        (
            "NaN in 1 % of the logits",
            Buffers::of(N, |i| if i % 97 == 0 { f64::NAN } else { z(i) }, t),
        ),
        ("negative zero targets", Buffers::of(N, z, |_| -0.0)),
        (
            "losses of all magnitudes, fast kernel",
            Buffers::of(
                N,
                |i| (random[i] - 0.5) * if single { 170.0 } else { 1400.0 },
                |i| random[i].round(),
            ),
        ),
        (
            "losses of all magnitudes",
            Buffers::of(
                N,
                |i| {
                    let exponent = random[N + i] * huge.log10();
                    if random[i] < 0.5 {
                        10_f64.powf(exponent)
                    } else {
                        deep * (0.5 + random[i] / 2.0)
                    }
                },
                |i| if random[i] < 0.5 { 0.0 } else { 1.0 },
            ),
        ),
        (
            "targets at the stationary point",
            Buffers::of(N, z, |i| 1.0 / (1.0 + (-z(i)).exp())),
        ),
    ];
    for backend in [Backend::Avx2, Backend::Avx512, Backend::detect()] {
        let known = found
            .iter()
            .any(|cliff| cliff.backend == backend.name() && cliff.element == T::NAME);
        if known || !backend.is_available() || !chosen(options, backend) {
            continue;
        }
        let bce = Bce::<T>::new().backend(backend)?;
        let mut outputs = (
            Aligned::new(N + 2 * PAGE, |_| 0.0),
            Buffers::<T>::typical(4 * PAGE),
        );
        let mut cases = Vec::new();
        let mut names = Vec::new();
        for (name, inputs) in &inputs {
            names.push((*name, 0));
            cases.push(Case::new(N, |(out, _): &mut (Aligned<T>, Buffers<T>)| {
                let (z, t) = (inputs.z.get(), inputs.t.get());
                black_box(bce.sum_gradient(z, t, &mut out.get_mut()[..N]).ok());
            }));
        }
        names.push(("misaligned by an element", 0));
        let typical = &inputs[0].1;
        cases.push(Case::new(
            N - 1,
            |(out, _): &mut (Aligned<T>, Buffers<T>)| {
                let (z, t) = (&typical.z.get()[1..], &typical.t.get()[1..]);
                black_box(bce.sum_gradient(z, t, &mut out.get_mut()[1..N]).ok());
            },
        ));
        if let Some(bce) = T::exact(bce) {
            let reference = cases.len();
            for (name, inputs) in [
                ("exact mode, typical", inputs.first()),
                ("exact mode, targets at the stationary point", inputs.last()),
            ] {
                let Some((_, inputs)) = inputs else { continue };
                names.push((name, reference));
                cases.push(Case::new(
                    N,
                    move |(out, _): &mut (Aligned<T>, Buffers<T>)| {
                        let (z, t) = (inputs.z.get(), inputs.t.get());
                        black_box(bce.sum_gradient(z, t, &mut out.get_mut()[..N]).ok());
                    },
                ));
            }
        }
        // Short slices: within a page, then with the rest across its end.
        let reference = cases.len();
        for (name, start) in [
            ("67 elements within a page", 0),
            (
                "67 elements whose rest crosses a page",
                PAGE / size_of::<T>() - (SHORT - 1),
            ),
        ] {
            names.push((name, reference));
            let bce = &bce;
            cases.push(Case::new(
                SHORT * CALLS,
                move |(_, buffers): &mut (Aligned<T>, Buffers<T>)| {
                    let first = buffers.z.get();
                    let page = first.as_ptr().align_offset(PAGE);
                    let part = page + start..page + start + SHORT;
                    let z = &buffers.z.get()[part.clone()];
                    let page = buffers.t.get().as_ptr().align_offset(PAGE);
                    let t = &buffers.t.get()[page + start..][..SHORT];
                    let g = buffers.g.get_mut();
                    let page = g.as_ptr().align_offset(PAGE);
                    let g = &mut g[page + start..][..SHORT];
                    for _ in 0..CALLS {
                        black_box(bce.sum_gradient(black_box(z), t, g).ok());
                    }
                },
            ));
        }
        let label = format!("{} {} cliffs", T::NAME, backend.name());
        let times = meter.measure(&label, &mut outputs, &cases);
        for ((name, reference), &ns) in names.into_iter().zip(&times) {
            found.push(Cliff {
                element: T::NAME,
                backend: backend.name(),
                name,
                ns,
                ratio: ns / times[reference],
                limit: if name.starts_with("exact") { 8.0 } else { 3.0 },
            });
        }
    }
    Ok(())
}

/// All threads of the pool against one.
#[cfg(feature = "rayon")]
fn parallel(meter: &mut Meter, n: usize) -> Vec<(&'static str, f64, f64)> {
    let mut buffers = Buffers::<f32>::typical(n);
    let bce = Bce::<f32>::new();
    let cases = [
        Case::new(n, |b: &mut Buffers<f32>| {
            black_box(b.call(Operation::Sum, &bce, n));
        }),
        Case::new(n, |b: &mut Buffers<f32>| {
            black_box(bce.par_sum(b.z.get(), b.t.get()).ok());
        }),
        Case::new(n, |b: &mut Buffers<f32>| {
            black_box(b.call(Operation::SumGradient, &bce, n));
        }),
        Case::new(n, |b: &mut Buffers<f32>| {
            black_box(
                bce.par_sum_gradient(b.z.get(), b.t.get(), b.g.get_mut())
                    .ok(),
            );
        }),
    ];
    let times = meter.measure("f32 parallel", &mut buffers, &cases);
    vec![
        ("par_sum", times[1], times[0]),
        ("par_sum_gradient", times[3], times[2]),
    ]
}

// ---- output

/// f32 operations per element in the fast kernel, a fused multiply-add counting two.
fn flops(operation: Operation) -> f64 {
    const EXP: f64 = 21.0;
    const LOG1P: f64 = 19.0;
    const LOSS: f64 = LOG1P + 4.0;
    const GRADIENT: f64 = 4.0;
    const HESSIAN: f64 = 2.0;
    EXP + match operation {
        Operation::Loss => LOSS,
        Operation::Sum => LOSS + 1.0,
        Operation::Gradient | Operation::Sigmoid => GRADIENT,
        Operation::SumGradient => LOSS + 1.0 + GRADIENT,
        Operation::GradientHessian => GRADIENT + HESSIAN,
        Operation::SumGradientHessian => LOSS + 1.0 + GRADIENT + HESSIAN,
    }
}

/// f32 rows under the roofs measured in the same run.
fn roofline(
    path: &std::path::Path,
    rows: &[Row],
    peaks: &[(Backend, f64)],
) -> Result<(), Box<dyn Error>> {
    const SHORT: usize = 16 << 10;
    let area = SVGBackend::new(path, (900, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "f32, one thread: operations against the roofs measured in the same run",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..10.0).log_scale(), (1.0..300.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("operations per byte moved")
        .y_desc("billion operations per second")
        .draw()?;

    let longest = rows.iter().map(|row| row.n).max().unwrap_or(SHORT);
    let mut roofs: Vec<(String, f64, Option<f64>)> = Vec::new();
    for n in [SHORT, longest] {
        let stream = rows.iter().find(|row| {
            row.n == n && row.element == "f32" && row.operation == Operation::SumGradient
        });
        if let Some(row) = stream {
            let bandwidth = row.bytes as f64 / row.stream;
            roofs.push((
                format!("stream, {n} elements, {bandwidth:.0} GB/s"),
                bandwidth,
                None,
            ));
        }
    }
    for &(backend, peak) in peaks {
        roofs.push((
            format!("{} multiply-adds, {peak:.0} G/s", backend.name()),
            0.0,
            Some(peak),
        ));
    }
    for (label, slope, level) in roofs {
        let line = [1.0, 10.0].map(|x| (x, level.unwrap_or(slope * x)));
        let at = level.map_or((1.05, slope * 1.05), |level| (1.05, level));
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.6)))?;
        chart.draw_series(std::iter::once(Text::new(
            label,
            (at.0, at.1 * 1.08),
            ("sans-serif", 12),
        )))?;
    }
    let colours = [
        ("scalar", RGBColor(120, 120, 120)),
        ("wide", RGBColor(200, 120, 0)),
        ("avx2", RGBColor(0, 110, 200)),
        ("avx512", RGBColor(190, 0, 60)),
    ];
    for (backend, colour) in colours {
        for (n, filled) in [(SHORT, true), (longest, false)] {
            let points: Vec<_> = rows
                .iter()
                .filter(|row| row.mode.is_empty() && row.element == "f32")
                .filter(|row| row.backend == backend && row.n == n)
                .map(|row| {
                    let flops = flops(row.operation);
                    (flops / row.bytes as f64, flops / row.ns)
                })
                .collect();
            if points.is_empty() {
                continue;
            }
            let style = ShapeStyle {
                color: colour.to_rgba(),
                filled,
                stroke_width: 1,
            };
            chart
                .draw_series(points.into_iter().map(|point| Circle::new(point, 4, style)))?
                .label(format!("{backend}, {n} elements"))
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, style));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

/// Columns of equal width, and Markdown.
fn table(out: &mut String, head: &[&str], body: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = body.iter().map(|row| row[column].len());
        cells.chain([head[column].len(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut line = |cells: Vec<String>| {
        out.push('|');
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(out, " {cell:>width$} |");
        }
        out.push('\n');
    };
    line(head.iter().map(|&cell| cell.to_owned()).collect());
    line(
        widths
            .iter()
            .map(|&width| format!("{}:", "-".repeat(width - 1)))
            .collect(),
    );
    for row in body {
        line(row.clone());
    }
    out.push('\n');
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1))
            .unwrap_or("?")
            .to_owned()
    };
    format!(
        "{}, family {}, model {}",
        field("model name"),
        field("cpu family"),
        field("model\t")
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if !options.bench {
        println!("run by cargo bench --bench report"); // cargo test --benches comes here
        return Ok(());
    }
    let started = Instant::now();
    let mut meter = Meter {
        rounds: options.rounds,
        gigahertz: Vec::new(),
        bar: ProgressBar::new(0),
    };
    meter.bar.set_style(indicatif::ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {msg} {elapsed}",
    )?);

    let fast: Vec<Backend> = BACKENDS
        .into_iter()
        .filter(|&backend| {
            !matches!(backend, Backend::Scalar | Backend::Wide) || backend == Backend::detect()
        })
        .collect();
    let lengths = [1, 2, 4, 8, 16, 32];
    let short_f32 = short::<f32>(&mut meter, &lengths);
    let short_f64 = short::<f64>(&mut meter, &lengths);
    let mut cliff_rows = Vec::new();
    cliffs::<f32>(&options, &mut meter, &mut cliff_rows)?;
    cliffs::<f64>(&options, &mut meter, &mut cliff_rows)?;
    let mut rows = Vec::new();
    operations::<f32>(&options, &mut meter, 16 << 10, &BACKENDS, &mut rows)?;
    operations::<f64>(&options, &mut meter, 16 << 10, &BACKENDS, &mut rows)?;
    operations::<f32>(&options, &mut meter, 64 << 20, &fast, &mut rows)?;
    operations::<f64>(&options, &mut meter, 16 << 20, &fast, &mut rows)?;
    #[cfg(feature = "rayon")]
    let parallel = parallel(&mut meter, 64 << 20);
    #[cfg(not(feature = "rayon"))]
    let parallel: Vec<(&str, f64, f64)> = Vec::new();
    let peaks: Vec<_> = BACKENDS
        .into_iter()
        .filter_map(|b| Some((b, peak(b)?)))
        .collect();
    meter.bar.finish_and_clear();

    let gigahertz = median(&mut meter.gigahertz);
    let compiled = ["sse2", "avx", "avx2", "fma", "avx512f", "neon"]
        .into_iter()
        .zip([
            cfg!(target_feature = "sse2"),
            cfg!(target_feature = "avx"),
            cfg!(target_feature = "avx2"),
            cfg!(target_feature = "fma"),
            cfg!(target_feature = "avx512f"),
            cfg!(target_feature = "neon"),
        ])
        .filter_map(|(name, has)| has.then_some(name))
        .collect::<Vec<_>>()
        .join(", ");
    let mut text = format!(
        "CPU: {}; {gigahertz:.2} GHz (dependent additions, median of the run). One thread.\nCompiled for: {} with {compiled} (what the wide backend uses). {} rounds, medians.\n\n",
        cpu(),
        std::env::consts::ARCH,
        options.rounds,
    );

    let body: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.element.to_owned(),
                row.n.to_string(),
                row.backend.to_owned(),
                format!("{} {}", row.mode, row.operation.name())
                    .trim()
                    .to_owned(),
                format!("{:.3}", row.ns),
                format!("{:.1}", row.bytes as f64 / row.ns),
                format!("{:.2}", row.ns * gigahertz),
                format!("{:.2}", row.ns / row.stream),
                format!("{:.1}", row.std_loop / row.ns),
            ]
        })
        .collect();
    table(
        &mut text,
        &[
            "type",
            "n",
            "backend",
            "operation",
            "ns/element",
            "GB/s",
            "cycles/element",
            "x stream",
            "std loop / this",
        ],
        &body,
    );

    // What comes on top, as far as it does not hide behind the rest.
    let at = |element: &str, backend: &str, operation| {
        let row = rows.iter().find(|row| {
            (row.element, row.backend, row.mode, row.operation, row.n)
                == (element, backend, "", operation, 16 << 10)
        });
        row.map_or(f64::NAN, |row| row.ns * gigahertz)
    };
    let mut costs = Vec::new();
    for element in ["f32", "f64"] {
        for backend in BACKENDS {
            let of = |operation| at(element, backend.name(), operation);
            let mut cost = |what: &str, with: f64, without: f64| {
                if (with - without).is_finite() {
                    costs.push(vec![
                        element.to_owned(),
                        backend.name().to_owned(),
                        what.to_owned(),
                        format!("{with:.2}"),
                        format!("{without:.2}"),
                        format!("{:+.0} %", (with / without - 1.0) * 100.0),
                    ]);
                }
            };
            cost(
                "exact sum instead of the losses: sum, loss",
                of(Operation::Sum),
                of(Operation::Loss),
            );
            cost(
                "exact sum besides the gradient: sum_gradient, gradient",
                of(Operation::SumGradient),
                of(Operation::Gradient),
            );
            cost(
                "target read and checked: gradient, sigmoid",
                of(Operation::Gradient),
                of(Operation::Sigmoid),
            );
            cost(
                "Hessian: gradient_hessian, gradient",
                of(Operation::GradientHessian),
                of(Operation::Gradient),
            );
            cost(
                "Hessian: sum_gradient_hessian, sum_gradient",
                of(Operation::SumGradientHessian),
                of(Operation::SumGradient),
            );
        }
    }
    text += "Costs, cycles per element at 16384 elements:\n\n";
    table(
        &mut text,
        &[
            "type",
            "backend",
            "what: with, without",
            "with",
            "without",
            "cost",
        ],
        &costs,
    );

    text += "Short calls with `Bce::new()`, ns per call, dispatch included:\n\n";
    let mut head = vec!["type".to_owned(), "operation".to_owned()];
    head.extend(lengths.map(|n| format!("n = {n}")));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut body = Vec::new();
    for (element, short) in [("f32", &short_f32), ("f64", &short_f64)] {
        for (operation, times) in short {
            let mut row = vec![element.to_owned(), operation.name().to_owned()];
            row.extend(times.iter().map(|ns| format!("{ns:.1}")));
            body.push(row);
        }
    }
    table(&mut text, &head, &body);

    text += "Inputs that could be slow, sum_gradient, 16384 elements unless named:\n\n";
    let body: Vec<_> = cliff_rows
        .iter()
        .map(|cliff| {
            vec![
                cliff.element.to_owned(),
                cliff.backend.to_owned(),
                cliff.name.to_owned(),
                format!("{:.3}", cliff.ns),
                format!("{:.2}", cliff.ratio),
                if cliff.ratio > cliff.limit {
                    format!("over {}", cliff.limit)
                } else {
                    String::new()
                },
            ]
        })
        .collect();
    table(
        &mut text,
        &[
            "type",
            "backend",
            "input",
            "ns/element",
            "x typical",
            "limit",
        ],
        &body,
    );

    if !parallel.is_empty() {
        let _ = writeln!(
            text,
            "All {} threads, f32, 67108864 elements:\n",
            std::thread::available_parallelism()?
        );
        let body: Vec<_> = parallel
            .iter()
            .map(|(name, all, one)| {
                vec![
                    (*name).to_owned(),
                    format!("{all:.3}"),
                    format!("{one:.3}"),
                    format!("{:.2}", one / all),
                ]
            })
            .collect();
        table(
            &mut text,
            &["operation", "ns/element", "one thread", "times faster"],
            &body,
        );
    }
    for backend in BACKENDS
        .into_iter()
        .filter(|backend| !backend.is_available())
    {
        let _ = writeln!(
            text,
            "Not run: {}, which this machine lacks.",
            backend.name()
        );
    }
    let _ = writeln!(
        text,
        "Not run: sigmoid on other backends than {}: it is a free function.",
        Backend::detect().name()
    );
    print!("{text}");

    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("report.md"), &text)?;
    let mut short_calls = Vec::new();
    for (element, short) in [("f32", &short_f32), ("f64", &short_f64)] {
        for (operation, times) in short {
            short_calls.push(json!({
                "type": element, "operation": operation.name(), "n": lengths, "ns_per_call": times,
            }));
        }
    }
    let json = json!({
        "cpu": cpu(),
        "gigahertz": gigahertz,
        "target_features": compiled,
        "rounds": options.rounds,
        "peak_gflops": peaks.iter().map(|(b, peak)| json!({"backend": b.name(), "gflops": peak})).collect::<Vec<_>>(),
        "operations": rows.iter().map(|row| json!({
            "type": row.element, "n": row.n, "backend": row.backend, "mode": row.mode, "operation": row.operation.name(),
            "ns_per_element": row.ns, "bytes_per_element": row.bytes, "cycles_per_element": row.ns * gigahertz,
            "stream_ns_per_element": row.stream, "std_loop_ns_per_element": row.std_loop,
        })).collect::<Vec<_>>(),
        "short_calls": short_calls,
        "cliffs": cliff_rows.iter().map(|cliff| json!({
            "type": cliff.element, "backend": cliff.backend, "input": cliff.name,
            "ns_per_element": cliff.ns, "ratio_to_typical": cliff.ratio,
        })).collect::<Vec<_>>(),
        "parallel": parallel.iter().map(|(name, all, one)| json!({
            "operation": name, "ns_per_element": all, "one_thread_ns_per_element": one,
        })).collect::<Vec<_>>(),
    });
    std::fs::write(
        options.out.join("report.json"),
        serde_json::to_string_pretty(&json)? + "\n",
    )?;
    roofline(&options.out.join("roofline.svg"), &rows, &peaks)?;
    println!(
        "{} s; written to {}",
        started.elapsed().as_secs(),
        options.out.display()
    );
    Ok(())
}
