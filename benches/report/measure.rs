//! Cases in turn, round after round; medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use soft_bce::Backend;

/// Each case is repeated for at least this long in every round.
const SLICE: Duration = Duration::from_millis(3);

/// Nanoseconds per run, of so many runs.
type Time<'a, B> = Box<dyn Fn(&mut B, usize) -> f64 + 'a>;

pub struct Case<'a, B> {
    /// What one run's time is divided by.
    units: usize,
    time: Time<'a, B>,
}

impl<'a, B> Case<'a, B> {
    pub fn new(units: usize, run: impl Fn(&mut B) + 'a) -> Self {
        Self::timed(units, move |buffers, repetitions| {
            let start = Instant::now();
            for _ in 0..repetitions {
                run(buffers);
            }
            start.elapsed().as_secs_f64() * 1e9 / repetitions as f64
        })
    }

    pub fn timed(units: usize, time: impl Fn(&mut B, usize) -> f64 + 'a) -> Self {
        Self {
            units,
            time: Box::new(time),
        }
    }

    fn time(&self, buffers: &mut B, repetitions: usize) -> f64 {
        (self.time)(buffers, repetitions) / self.units as f64
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => f64::midpoint(values[(n - 1) / 2], values[n / 2]),
    }
}

pub struct Meter {
    pub rounds: usize,
    pub gigahertz: Vec<f64>,
    pub bar: ProgressBar,
}

impl Meter {
    /// Median nanoseconds per unit of each case.
    pub fn measure<B>(&mut self, name: &str, buffers: &mut B, cases: &[Case<'_, B>]) -> Vec<f64> {
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

/// The most f32 operations per nanosecond: independent fused multiply-adds, each two.
pub fn peak(backend: Backend) -> Option<f64> {
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
