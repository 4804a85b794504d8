//! What the library is compared with: loops that move the same bytes and compute next to nothing, and
//! an earlier revision. (The loop over std's functions is with the tasks.)

use std::error::Error;
use std::ffi::{CString, c_char};
use std::hint::black_box;
use std::path::Path;

use crate::cases::{Buffers, Std, Task};
use crate::measure::Case;
use libloading::Library;
use soft_bce::Backend;

/// Reads and writes what the task does, in vectors of the compiler's choice.
pub fn traffic<T: Std>(task: Task, n: usize) -> Case<'static, Buffers<T>> {
    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
    fn run(task: Task, z: &[u64], t: &[u64], g: &mut [u64], h: &mut [u64]) -> u64 {
        let pairs = z.iter().zip(t).map(|(z, t)| z ^ t);
        match (task.reads(), task.writes()) {
            (1, _) => g.copy_from_slice(z),
            (_, 0) => return pairs.fold(0, |all, pair| all ^ pair),
            (_, 1) => pairs.zip(g).for_each(|(pair, g)| *g = pair),
            _ => pairs
                .zip(g)
                .zip(h)
                .for_each(|((pair, g), h)| (*g, *h) = (pair, pair)),
        }
        0
    }
    let words = n * size_of::<T>() / size_of::<u64>();
    Case::new(n, move |buffers: &mut Buffers<T>| {
        let read = |of: &[T]| of[..n].as_ptr().cast();
        let write = |of: &mut [T]| of[..n].as_mut_ptr().cast();
        // SAFETY: n floats at a cache line are so many integers; the CPU was asked.
        unsafe {
            use std::slice::{from_raw_parts, from_raw_parts_mut};
            let z = from_raw_parts(read(buffers.z.get()), words);
            let t = from_raw_parts(read(buffers.t.get()), words);
            let g = from_raw_parts_mut(write(buffers.g.get_mut()), words);
            let h = from_raw_parts_mut(write(buffers.h.get_mut()), words);
            if cfg!(not(target_arch = "x86_64")) || Backend::Avx2.is_available() {
                black_box(run(task, z, t, g, h));
            }
        }
    })
}

/// As benches/against/measured.rs has it: z, t, w, g, h.
#[repr(C)]
struct Slices<T>([*mut T; 5]);

type Timer = unsafe extern "C" fn(*const c_char, *const Slices<u8>, usize) -> f64;

/// A revision that benches/against.sh has built.
#[derive(Clone, Copy)]
pub struct Base(Timer);

impl Base {
    pub fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        // SAFETY: what benches/against.sh makes; its `time` has this type. It stays loaded.
        unsafe {
            let library = Box::leak(Box::new(Library::new(path)?));
            Ok(Self(*library.get::<Timer>(b"time")?))
        }
    }

    /// The task there, in so many `units`.
    pub fn case<T: Std>(
        self,
        (backend, mode, task): (Backend, &str, Task),
        n: usize,
        units: usize,
    ) -> Case<'static, Buffers<T>> {
        let name = format!("{}/{}/{mode}/{}/{n}", T::NAME, backend.name(), task.name());
        let name = CString::new(name).unwrap_or_default();
        Case::repeated(units, move |buffers: &mut Buffers<T>, runs| {
            let (z, t) = (buffers.z.get().as_ptr(), buffers.t.get().as_ptr());
            let g = buffers.g.get_mut().as_mut_ptr();
            let h = buffers.h.get_mut().as_mut_ptr();
            let slices = Slices([z.cast_mut(), t.cast_mut(), z.cast_mut(), g, h]);
            // SAFETY: slices of the type and at least the length that the name says; inputs are only read.
            let time = unsafe { (self.0)(name.as_ptr(), (&raw const slices).cast(), runs) };
            assert!(time > 0.0, "the base has no {name:?}");
        })
    }
}
