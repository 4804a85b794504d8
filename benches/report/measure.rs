//! Cases in turn, round after round; of the rounds the lower quartile counts, since what else runs on a
//! machine only adds. And what the machine does at best.

use std::hint::black_box;

use cpu_time::ThreadTime;
use soft_bce::Backend;

/// Seconds that each case is repeated for, at least, in every round.
const SLICE: f64 = 2e-3;

/// Does the work so many times.
type Run<'a, B> = Box<dyn Fn(&mut B, usize) + 'a>;

pub struct Case<'a, B> {
    /// What one run's time is divided by.
    units: usize,
    run: Run<'a, B>,
}

impl<'a, B> Case<'a, B> {
    pub fn new(units: usize, run: impl Fn(&mut B) + 'a) -> Self {
        Self::repeated(units, move |buffers, runs| {
            for _ in 0..runs {
                run(buffers);
            }
        })
    }

    pub fn repeated(units: usize, run: impl Fn(&mut B, usize) + 'a) -> Self {
        let run = Box::new(run);
        Self { units, run }
    }

    /// Seconds of this thread: others' turns on the core do not count.
    fn time(&self, buffers: &mut B, runs: usize) -> f64 {
        let start = ThreadTime::now();
        (self.run)(buffers, runs);
        start.elapsed().as_secs_f64()
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => f64::midpoint(values[(n - 1) / 2], values[n / 2]),
    }
}

/// Nanoseconds per unit of each case, all of which are measured in every round.
pub fn measure<B>(rounds: usize, buffers: &mut B, cases: &[Case<'_, B>]) -> Vec<f64> {
    let runs: Vec<usize> = cases
        .iter()
        .map(|case| {
            let once = [(); 3].map(|()| case.time(buffers, 1));
            let once = once.into_iter().fold(f64::INFINITY, f64::min);
            (SLICE / once).ceil().clamp(1.0, 1e6) as usize
        })
        .collect();
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for ((case, &runs), times) in cases.iter().zip(&runs).zip(&mut times) {
            // Untimed: brings the case's data to where it stays while it repeats.
            if case.units < 1 << 20 {
                case.time(buffers, runs.div_ceil(8));
            }
            times.push(case.time(buffers, runs) * 1e9 / (runs * case.units) as f64);
        }
    }
    let lower_quartile = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[(times.len() - 1) / 4]
    };
    times.iter_mut().map(lower_quartile).collect()
}

/// Cycles per nanosecond: dependent additions, a cycle each; NaN on other architectures.
pub fn gigahertz() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        const STEPS: u32 = 100_000;
        let once = || {
            let start = ThreadTime::now();
            let mut value = 1_u64;
            for _ in 0..STEPS {
                // SAFETY: additions to a register; nothing else is touched.
                unsafe {
                    core::arch::asm!(".rept 20", "add {0}, {0}", ".endr", inout(reg) value, options(nomem, nostack));
                }
            }
            black_box(value);
            f64::from(STEPS) * 20.0 / (start.elapsed().as_secs_f64() * 1e9)
        };
        median(&mut [(); 15].map(|()| once()))
    }
    #[cfg(not(target_arch = "x86_64"))]
    f64::NAN
}

/// Nanoseconds an element of a multiply-add, and of a division, where nothing else is done.
pub fn arithmetic(element: &str, backend: Backend) -> Option<[f64; 2]> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        macro_rules! time {
            ($feature:literal; $lanes:literal; $set:ident $fma:ident $div:ident) => {{
                #[target_feature(enable = $feature)]
                fn chains(divide: bool) -> f64 {
                    const STEPS: usize = 20_000;
                    let (x, y) = ($set(black_box(0.5)), $set(black_box(1.0001)));
                    let mut values = [y; 12];
                    let start = ThreadTime::now();
                    for _ in 0..STEPS {
                        for v in &mut values {
                            *v = if divide { $div(y, *v) } else { $fma(*v, x, y) };
                        }
                    }
                    black_box(values);
                    start.elapsed().as_secs_f64() * 1e9 / (STEPS * 12 * $lanes) as f64
                }
                // SAFETY: the backend is available, so its features are.
                let best = |divide| {
                    let times = [(); 9].map(|()| unsafe { chains(divide) });
                    times.into_iter().fold(f64::INFINITY, f64::min)
                };
                Some([best(false), best(true)])
            }};
        }
        match (element, backend) {
            _ if !backend.is_available() => None,
            ("f32", Backend::Avx2) => {
                time!("avx2,fma"; 8; _mm256_set1_ps _mm256_fmadd_ps _mm256_div_ps)
            }
            ("f64", Backend::Avx2) => {
                time!("avx2,fma"; 4; _mm256_set1_pd _mm256_fmadd_pd _mm256_div_pd)
            }
            ("f32", Backend::Avx512) => {
                time!("avx512f"; 16; _mm512_set1_ps _mm512_fmadd_ps _mm512_div_ps)
            }
            ("f64", Backend::Avx512) => {
                time!("avx512f"; 8; _mm512_set1_pd _mm512_fmadd_pd _mm512_div_pd)
            }
            _ => None,
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
