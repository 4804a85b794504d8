//! The keyword options of a call, and the threads that it runs on.

use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use soft_bce::{Backend, Bce, Error, Focal, SquaredError};

use crate::arrays::Real;
use crate::error::{option_error, rounded_to, value_error};

/// All but those that are arrays.
pub struct Options {
    pub pos_weight: f64,
    pub label_smoothing: f64,
    pub target_tolerance: f64,
    pub exact: bool,
    pub excess: bool,
    pub temperature: f64,
    pub logit_targets: bool,
    pub squared_error: bool,
    pub focal: Option<f64>,
    pub backend: Option<Backend>,
}

impl Options {
    pub fn bce<'a, T: Real>(&self, py: Python<'_>) -> PyResult<Bce<'a, T>> {
        if self.exact && self.excess {
            return Err(PyValueError::new_err(
                "exact=True and excess=True exclude each other",
            ));
        }
        if size_of::<T>() < size_of::<f64>() {
            self.check_before_rounding::<T>(py)?;
        }
        let mut bce = self.numbers()?;
        if self.exact {
            bce = T::exact(bce).ok_or_else(no_exact_f64)?;
        }
        if let Some(backend) = self.backend {
            bce = bce
                .backend(backend)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        Ok(bce)
    }

    /// Without `exact` and the backend.
    fn numbers<'a, T: Real>(&self) -> PyResult<Bce<'a, T>> {
        let base = match (self.squared_error, self.focal, self.logit_targets) {
            (false, None, _) => Bce::new(),
            (true, None, false) => *SquaredError::new(),
            (false, Some(beta), false) => *Focal::new(T::rounded(beta)),
            _ => {
                let said = "squared_error, focal and logit_targets exclude each other";
                return Err(PyValueError::new_err(said));
            }
        };
        let mut bce = base
            .label_smoothing(T::rounded(self.label_smoothing))
            .target_tolerance(T::rounded(self.target_tolerance));
        // Both it and pos_weights are an error.
        if self.pos_weight != 1.0 {
            bce = bce.pos_weight(T::rounded(self.pos_weight));
        }
        if self.temperature != 1.0 {
            bce = bce.temperature(T::rounded(self.temperature));
        }
        if self.logit_targets {
            bce = bce.logit_targets();
        }
        if self.excess {
            bce = bce.excess();
        }
        Ok(bce)
    }

    /// The numbers as they were given: the kernel sees them rounded, which may bring one into its range.
    fn check_before_rounding<T: Real>(&self, py: Python<'_>) -> PyResult<()> {
        let Self {
            pos_weight,
            label_smoothing,
            target_tolerance,
            temperature,
            focal,
            ..
        } = *self;
        let given = [
            ("pos_weight", pos_weight, 1.0),
            ("label_smoothing", label_smoothing, 0.0),
            ("target_tolerance", target_tolerance, 0.0),
            ("temperature", temperature, 1.0),
            ("focal", focal.unwrap_or(0.0), 0.0),
        ];
        if given.iter().all(|(_, value, default)| value == default) {
            return Ok(());
        }
        let checked = self.numbers::<f64>()?.sum(&[], &[]);
        if let Err(error @ Error::InvalidOption { .. }) = checked {
            return Err(value_error(py, error, &[], "t"));
        }
        for (name, value, _) in given {
            if let Some(said) = rounded_to::<T>(value) {
                return Err(option_error(py, name, value, &said));
            }
        }
        Ok(())
    }
}

/// A number of threads, as Python gives it.
pub fn threads(threads: i64) -> PyResult<usize> {
    match usize::try_from(threads) {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err(PyValueError::new_err(format!(
            "threads is {threads} and must be in [1, 1024]"
        ))),
    }
}

pub fn no_exact_f64() -> PyErr {
    PyValueError::new_err("exact=True is for float32 alone, and this is float64")
}

pub fn backend(name: Option<&str>) -> PyResult<Option<Backend>> {
    let Some(name) = name else { return Ok(None) };
    match Backend::available().find(|backend| backend.name() == name) {
        Some(backend) => Ok(Some(backend)),
        None => {
            let names: Vec<_> = Backend::available().map(Backend::name).collect();
            let names = names.join(", ");
            Err(PyValueError::new_err(format!(
                "backend is {name:?} and must be one of this machine's: {names}"
            )))
        }
    }
}

/// Below this many elements giving up the interpreter's lock and taking it again costs more than the call.
const SHORT: usize = 256;

/// How many calls run without the interpreter's lock.
static DETACHED: AtomicUsize = AtomicUsize::new(0);

/// Whether `run` keeps the interpreter's lock for so many elements while no other call is without it: then nobody
/// else touches an array. (An interpreter without that lock does not load this module, which is of `abi3`.)
pub fn alone(elements: usize) -> bool {
    elements <= SHORT && DETACHED.load(Ordering::SeqCst) == 0
}

/// Runs `work` without the interpreter's lock.
pub fn detach<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DETACHED.fetch_sub(1, Ordering::SeqCst);
        }
    }
    DETACHED.fetch_add(1, Ordering::SeqCst);
    let _counted = Counted;
    py.detach(work)
}

/// Runs `work`, without the interpreter's lock unless it is short, on a pool of this many threads if they are several.
pub fn run<R: Send>(
    py: Python<'_>,
    elements: usize,
    threads: usize,
    work: impl FnOnce() -> R + Send,
) -> PyResult<R> {
    let pool = (threads > 1).then(|| pool(threads)).transpose()?;
    let work = || match pool {
        Some(pool) => pool.install(work),
        None => work(),
    };
    Ok(if elements <= SHORT {
        work()
    } else {
        detach(py, work)
    })
}

type Pools = HashMap<(u32, usize), Arc<rayon::ThreadPool>>;

/// Pools are kept, by process: a fork has none of its parent's threads.
fn pool(threads: usize) -> PyResult<Arc<rayon::ThreadPool>> {
    static POOLS: Mutex<Option<Pools>> = Mutex::new(None);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_default();
    let key = (process::id(), threads);
    if let Some(pool) = pools.get(&key) {
        return Ok(pool.clone());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("soft-bce-{index}"))
        .build()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let pool = Arc::new(pool);
    pools.insert(key, pool.clone());
    Ok(pool)
}
