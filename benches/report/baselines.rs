//! What the library is compared with: kernels that move the same bytes and compute next to nothing,
//! and an earlier revision. (The loop over std's functions is with the tasks.)

use std::error::Error;
use std::ffi::{CString, c_char};
use std::hint::black_box;
use std::path::Path;

use crate::cases::{Buffers, Std, Task};
use crate::measure::Case;
use soft_bce::Backend;

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
                                _mm_prefetch::<_MM_HINT_T0>(b.as_ptr().wrapping_add(ahead).cast());
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

/// The stream kernel of a task's traffic.
pub fn stream<T: Std>(task: Task, n: usize) -> Case<'static, Buffers<T>> {
    Case::new(n, move |buffers: &mut Buffers<T>| {
        let (z, t) = (bytes(&buffers.z.get()[..n]), bytes(&buffers.t.get()[..n]));
        let g = bytes_mut(&mut buffers.g.get_mut()[..n]);
        let h = bytes_mut(&mut buffers.h.get_mut()[..n]);
        let from = &[z, t][..task.reads()];
        black_box(match task.writes() {
            0 => run(from, &mut []),
            1 => run(from, &mut [g]),
            _ => run(from, &mut [g, h]),
        });
    })
}

fn bytes<T: Std>(of: &[T]) -> &[u8] {
    // SAFETY: `Std` is sealed by `Real`: f32 and f64, which are all bytes.
    unsafe { std::slice::from_raw_parts(of.as_ptr().cast(), size_of_val(of)) }
}

fn bytes_mut<T: Std>(of: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and every byte pattern is a float.
    unsafe { std::slice::from_raw_parts_mut(of.as_mut_ptr().cast(), size_of_val(of)) }
}

/// As benches/against/measured.rs has it: z, t, w, g, h.
#[repr(C)]
struct Slices<T>([*mut T; 5]);

/// A revision that benches/against.sh has built.
#[derive(Clone, Copy)]
pub struct Base {
    time: unsafe extern "C" fn(*const c_char, *const Slices<u8>, usize) -> f64,
}

impl Base {
    pub fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let path = CString::new(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: both are C strings; the library stays loaded, and its `time` has this type.
        unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                return Err(format!("{path:?} is no library").into());
            }
            let time = libc::dlsym(library, c"time".as_ptr());
            if time.is_null() {
                return Err(format!("{path:?} was not made by benches/against.sh").into());
            }
            let time = std::mem::transmute::<
                *mut libc::c_void,
                unsafe extern "C" fn(*const c_char, *const Slices<u8>, usize) -> f64,
            >(time);
            Ok(Self { time })
        }
    }

    /// The task there; -1 ns where it does not have it.
    pub fn case<T: Std>(
        self,
        backend: Backend,
        mode: &str,
        task: Task,
        n: usize,
    ) -> Case<'static, Buffers<T>> {
        let name = format!("{}/{}/{mode}/{}/{n}", T::NAME, backend.name(), task.name());
        let name = CString::new(name).unwrap_or_default();
        Case::timed(n, move |buffers: &mut Buffers<T>, calls| {
            let (z, t) = (buffers.z.get().as_ptr(), buffers.t.get().as_ptr());
            let (g, h) = (
                buffers.g.get_mut().as_mut_ptr(),
                buffers.h.get_mut().as_mut_ptr(),
            );
            let slices = Slices([z.cast_mut(), t.cast_mut(), z.cast_mut(), g, h]);
            // SAFETY: slices of the type and length that the name says; inputs are only read.
            unsafe { (self.time)(name.as_ptr(), (&raw const slices).cast(), calls) }
        })
    }
}
