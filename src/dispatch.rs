//! Which instruction set runs a call.

use crate::error::Error;
#[cfg(not(any(target_arch = "arm", target_arch = "riscv32", target_arch = "riscv64")))]
use crate::lane::portable::Portable;
use crate::lane::scalar::Scalar;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use crate::lane::x86::{Avx2, Avx512, OneElement};
use crate::lane::{Float, Isa, Job, ShortJob};

/// An implementation of the kernel. All give the same bits; they differ in speed.
///
/// [`Bce`](crate::Bce) uses [`Backend::detect`] unless told otherwise. Choosing
/// one explicitly is for tests and benchmarks.
///
/// ```
/// use soft_bce::{Backend, Bce};
///
/// let fastest = Bce::<f32>::new().sum(&[0.5, -3.0], &[0.25, 0.0])?;
/// for backend in Backend::available() {
///     let bce = Bce::<f32>::new().backend(backend)?;
///     assert_eq!(bce.sum(&[0.5, -3.0], &[0.25, 0.0])?, fastest);
/// }
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// One element at a time. Every machine has it.
    Scalar,
    /// `wide::f32x8` and `wide::f64x4`, compiled for the target's own features:
    /// SSE2, AVX, NEON, simd128. Every machine has it, but 32-bit Arm and RISC-V,
    /// where `wide` has no SIMD, leave it out.
    Wide,
    /// AVX2 and FMA, detected at run time.
    Avx2,
    /// AVX-512 F, DQ and VL, detected at run time.
    Avx512,
}

const ALL: [Backend; 4] = [
    Backend::Scalar,
    Backend::Wide,
    Backend::Avx2,
    Backend::Avx512,
];

/// A result by the instruction set of a backend, a job moved into it: closures would have a copy.
macro_rules! on_isa {
    ($backend:ident, $rare:literal, $isa:ident => $result:expr) => {
        match $backend {
            #[cfg(not(any(
                target_arch = "arm",
                target_arch = "riscv32",
                target_arch = "riscv64"
            )))]
            Self::Wide if !$rare || Portable::FAST => {
                let $isa = Portable;
                $result
            }
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx2 => match Avx2::detect() {
                Some($isa) => $result,
                None => Err($backend.missing()),
            },
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx512 => match Avx512::detect() {
                Some($isa) => $result,
                None => Err($backend.missing()),
            },
            Self::Wide if !$rare => Err($backend.missing()),
            Self::Scalar | Self::Wide => {
                let $isa = Scalar;
                $result
            }
            #[allow(unreachable_patterns, reason = "the backends that this target lacks")]
            _ => Err($backend.missing()),
        }
    };
}

impl Backend {
    /// The fastest backend of this machine. Asks the CPU once and remembers.
    ///
    /// ```
    /// assert!(soft_bce::Backend::detect().is_available());
    /// ```
    #[must_use]
    #[inline]
    pub fn detect() -> Self {
        cfg_if::cfg_if! {
            if #[cfg(any(target_arch = "x86", target_arch = "x86_64"))] {
                if Avx512::detect().is_some() {
                    Self::Avx512
                } else if Avx2::detect().is_some() {
                    Self::Avx2
                } else {
                    Self::Wide
                }
            } else if #[cfg(any(target_arch = "arm", target_arch = "riscv32", target_arch = "riscv64"))] {
                Self::Scalar
            } else {
                Self::Wide
            }
        }
    }

    /// Whether this machine can run it.
    ///
    /// ```
    /// assert!(soft_bce::Backend::Scalar.is_available());
    /// ```
    #[must_use]
    pub fn is_available(self) -> bool {
        struct Nothing;
        impl Job for Nothing {
            type Output = ();
            fn run<I: Isa>(self, _: I) {}
        }
        self.run(Nothing).is_ok()
    }

    /// The backends of this machine, slowest first.
    ///
    /// ```
    /// use soft_bce::Backend;
    /// assert_eq!(Backend::available().next(), Some(Backend::Scalar));
    /// assert_eq!(Backend::available().last(), Some(Backend::detect()));
    /// ```
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|backend| backend.is_available())
    }

    /// `"scalar"`, `"wide"`, `"avx2"` or `"avx512"`.
    ///
    /// ```
    /// assert_eq!(soft_bce::Backend::Avx2.name(), "avx2");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Wide => "wide",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    const fn missing(self) -> Error {
        Error::BackendUnavailable {
            backend: self.name(),
        }
    }

    /// Runs the job on this backend, or says that the machine lacks it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn run<J: Job>(self, job: J) -> Result<J::Output, Error> {
        on_isa!(self, false, isa => Ok(isa.run(job)))
    }

    /// The same of what may fail itself, whose result is not copied.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn run_call<J: Job<Output = Result<(), Error>>>(self, job: J) -> J::Output {
        on_isa!(self, false, isa => isa.run(job))
    }

    /// As `run_call`, for jobs that few programs ask for, or at which `Wide` is little faster: where it has
    /// no instruction for an FMA, `Scalar` does its work. The bits are the same; the code is not
    /// there twice.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn run_rare<J: Job<Output = Result<(), Error>>>(self, job: J) -> J::Output {
        on_isa!(self, true, isa => isa.run(job))
    }

    /// Runs a job on few elements on this backend or, if none is chosen, on the fastest one. Nothing
    /// also where that has not been looked for yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn run_short<T: Float, J: ShortJob>(
        z: &[T],
        t: &[T],
        output: &mut [T],
        choice: Option<Self>,
    ) -> f64 {
        cfg_if::cfg_if! {
            if #[cfg(any(target_arch = "x86", target_arch = "x86_64"))] {
                // Without `Portable`, even if it is fast: beside it here these calls would need a stack frame, and
                // while it did them nobody would ask for the CPU.
                if matches!(choice, None | Some(Self::Avx512)) && let Some(isa) = Avx512::detected() {
                    return isa.run_short::<T, J>(z, t, output);
                }
                if matches!(choice, None | Some(Self::Avx2)) && let Some(isa) = Avx2::detected() {
                    return isa.run_short::<T, J>(z, t, output);
                }
            } else if #[cfg(not(any(target_arch = "arm", target_arch = "riscv32", target_arch = "riscv64")))] {
                if matches!(choice, None | Some(Self::Wide)) && Portable::FAST {
                    return Portable.run_short::<T, J>(z, t, output);
                }
            }
        }
        // Not used where there are no vectors.
        let _ = (z, t, output, choice);
        f64::NAN
    }

    /// The result of a job on one element, which needs no long vectors, or nothing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn run_single<T: Float, J: Job<Output = Option<T>>>(job: J) -> Option<T> {
        cfg_if::cfg_if! {
            if #[cfg(any(target_arch = "x86", target_arch = "x86_64"))] {
                if let Some(isa) = OneElement::detected() {
                    return isa.run_bare(job);
                }
            } else if #[cfg(not(any(target_arch = "arm", target_arch = "riscv32", target_arch = "riscv64")))] {
                if Portable::FAST {
                    return Portable.run(job);
                }
            }
        }
        let _ = job;
        None
    }
}
