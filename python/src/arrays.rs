//! Arrays on their way in and out: the caller's own memory where it lies in C order, else a copy.

use std::ops::Range;

use numpy::npyffi::{_PyArray_GET_ITEM_DATA, NPY_ARRAY_WRITEABLE};
use numpy::{
    BorrowError, Element, IntoPyArray, PyArrayDescr, PyArrayDescrMethods, PyArrayDyn,
    PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// `float32` and `float64`.
pub trait Real: soft_bce::Real + Element + Into<f64> {
    const NAME: &'static str;
    fn rounded(value: f64) -> Self;
    /// `None` where there is no such mode.
    fn exact(bce: soft_bce::Bce<'_, Self>) -> Option<soft_bce::Bce<'_, Self>>;
}

impl Real for f32 {
    const NAME: &'static str = "float32";
    fn rounded(value: f64) -> Self {
        value as f32
    }
    fn exact(bce: soft_bce::Bce<'_, Self>) -> Option<soft_bce::Bce<'_, Self>> {
        Some(bce.exact())
    }
}

impl Real for f64 {
    const NAME: &'static str = "float64";
    fn rounded(value: f64) -> Self {
        value
    }
    fn exact(_: soft_bce::Bce<'_, Self>) -> Option<soft_bce::Bce<'_, Self>> {
        None
    }
}

/// The array that decides the element type of a call: `float32` stays, `float16` becomes it, all else
/// is `float64`.
pub enum Typed<'py> {
    F32(Input<'py, f32>),
    F64(Input<'py, f64>),
}

impl<'py> Typed<'py> {
    pub fn new(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        // A cast that fails takes as long as a short call.
        let wide = value.cast_exact::<PyUntypedArray>();
        let wide = wide.is_ok_and(|array| array.dtype().itemsize() == 8);
        if !wide && let Some(array) = as_it_is(value) {
            return Ok(Self::F32(array));
        }
        if let Some(array) = as_it_is(value) {
            return Ok(Self::F64(array));
        }
        let array = plain(name, value)?;
        let dtype = array.dtype();
        if dtype.kind() == b'f' && dtype.itemsize() <= 4 {
            Ok(Self::F32(copied(array.as_any())?))
        } else {
            Ok(Self::F64(copied(array.as_any())?))
        }
    }
}

/// An array in C order, to be read.
pub struct Input<'py, T: Real> {
    array: Bound<'py, PyArrayDyn<T>>,
    access: Access<'py, T>,
}

enum Access<'py, T: Real> {
    None,
    /// Nobody else runs.
    Kept,
    /// Other threads' calls do not write to it.
    Locked(#[allow(dead_code)] PyReadonlyArrayDyn<'py, T>),
}

impl<'py, T: Real> Input<'py, T> {
    fn new(array: Bound<'py, PyArrayDyn<T>>) -> Self {
        Self {
            array,
            access: Access::None,
        }
    }

    pub fn array(&self) -> &Bound<'py, PyArrayDyn<T>> {
        &self.array
    }

    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// For any call; it takes as long as a short call of the kernel.
    pub fn lock(&mut self, name: &str) -> PyResult<()> {
        let locked = self.array.try_readonly().map_err(|_| in_use(name))?;
        self.access = Access::Locked(locked);
        Ok(())
    }

    pub fn locked(mut self, name: &str) -> PyResult<Self> {
        self.lock(name)?;
        Ok(self)
    }

    /// # Safety
    ///
    /// As long as the slice is used no code of Python may run, in any thread.
    pub unsafe fn keep(&mut self) {
        self.access = Access::Kept;
    }

    pub fn as_slice(&self) -> PyResult<&[T]> {
        if let Access::None = self.access {
            return Err(PyRuntimeError::new_err("an array was not locked"));
        }
        // SAFETY: nobody writes to it, by the access, and it is in C order and aligned.
        Ok(unsafe { self.array.as_slice() }?)
    }
}

/// An argument as elements of type `T` in C order.
pub fn input<'py, T: Real>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Input<'py, T>> {
    match as_it_is(value) {
        Some(array) => Ok(array),
        None => copied(plain(name, value)?.as_any()),
    }
}

/// An argument as elements of the type of the logits, and as it was given where that is a wider type.
pub struct Narrowed<'py, T: Real> {
    pub input: Input<'py, T>,
    wide: Option<Input<'py, f64>>,
}

impl<'py, T: Real> Narrowed<'py, T> {
    /// Elements of a wider type by `narrow`, which gives NaN for those that are to be an error: the kernel then
    /// names the first of them that it looks at.
    pub fn new(name: &str, value: &Bound<'py, PyAny>, narrow: impl Fn(f64) -> T) -> PyResult<Self> {
        if let Some(input) = as_it_is(value) {
            return Ok(Self { input, wide: None });
        }
        if size_of::<T>() == size_of::<f64>() || value.cast_exact::<PyArrayDyn<T>>().is_ok() {
            let input = copied(plain(name, value)?.as_any())?;
            return Ok(Self { input, wide: None });
        }
        let wide = input::<f64>(name, value)?.locked(name)?;
        let to = allocate::<T>(value.py(), wide.shape());
        // SAFETY: this array is known to nobody else yet.
        let elements = unsafe { to.as_slice_mut() }?;
        for (to, &from) in elements.iter_mut().zip(wide.as_slice()?) {
            *to = narrow(from);
        }
        Ok(Self {
            input: Input::new(to),
            wide: Some(wide),
        })
    }

    /// A copy of the array takes its place.
    pub fn copy(&mut self) {
        let py = self.input.array.py();
        let copy = self.input.array.to_owned_array().into_pyarray(py);
        self.input = Input::new(copy);
    }

    pub fn shape(&self) -> &[usize] {
        self.input.shape()
    }

    /// The element as it was given.
    pub fn given(&self, index: usize, value: f64) -> f64 {
        let wide = self.wide.as_ref().and_then(|wide| wide.as_slice().ok());
        let given = wide.and_then(|wide| wide.get(index).copied());
        given.unwrap_or(value)
    }
}

/// What becomes of a finite number other than 0 in type `T`, if it is 0 or an infinity.
pub fn lost<T: Real>(value: f64) -> Option<f64> {
    let to: f64 = T::rounded(value).into();
    (value.is_finite() && value != 0.0 && (to == 0.0 || to.is_infinite())).then_some(to)
}

/// A number that must not be lost, or NaN.
pub fn kept<T: Real>(value: f64) -> T {
    T::rounded(if lost::<T>(value).is_none() {
        value
    } else {
        f64::NAN
    })
}

/// As the logits, or what else `of` is.
pub fn check_shape(name: &str, found: &[usize], expected: &[usize], of: &str) -> PyResult<()> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (Shape(found), Shape(expected));
    Err(PyValueError::new_err(format!(
        "{name} has the shape {found}, not {expected} as the {of}"
    )))
}

pub fn wrong_shape(name: &str, found: &[usize], which: &str, logits: &[usize]) -> PyErr {
    let (found, logits) = (Shape(found), Shape(logits));
    PyValueError::new_err(format!(
        "{name} has the shape {found}, and must have that of {which} axes of the logits, whose shape is {logits}"
    ))
}

/// Not of subclasses: a masked array is one.
fn as_it_is<'py, T: Real>(value: &Bound<'py, PyAny>) -> Option<Input<'py, T>> {
    let array = value.cast_exact::<PyArrayDyn<T>>().ok()?;
    in_order(array).then(|| Input::new(array.clone()))
}

pub fn in_order<T: Real>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    array.is_c_contiguous() && array.is_aligned()
}

fn in_use(name: &str) -> PyErr {
    PyValueError::new_err(format!(
        "{name} shares memory with an array that another thread's call uses"
    ))
}

/// A plain array of numbers of the machine's own byte order.
fn plain<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static MASKED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = value.py();
    if value.is_instance(MASKED.import(py, "numpy.ma", "MaskedArray")?)? {
        return Err(PyTypeError::new_err(format!(
            "{name} is a masked array, whose mask would be lost: pass its .filled() data, and weights of 0 \
             where it is masked"
        )));
    }
    let array = numpy(py)?.call_method1(intern!(py, "asarray"), (value,))?;
    let array = array.cast_into::<PyUntypedArray>()?;
    let dtype = array.dtype();
    let number = match dtype.kind() {
        b'b' | b'i' | b'u' => true,
        b'f' => dtype.itemsize() <= 8,
        _ => false,
    };
    if !number {
        return Err(PyTypeError::new_err(format!(
            "{name} has the dtype {dtype}; it must be float32, float64, float16, an integer or bool"
        )));
    }
    if dtype.is_native_byteorder() == Some(false) {
        return Err(PyTypeError::new_err(format!(
            "{name} has the dtype {dtype}, in another byte order than this machine's: \
             convert it with .astype({name}.dtype.newbyteorder('='))"
        )));
    }
    Ok(array)
}

fn copied<'py, T: Real>(array: &Bound<'py, PyAny>) -> PyResult<Input<'py, T>> {
    let py = array.py();
    // An overflow becomes an infinity, which the checks of elements see.
    let arguments = (array, PyArrayDescr::of::<T>(py), "CA");
    let array = numpy(py)?.call_method1(intern!(py, "require"), arguments)?;
    Ok(Input::new(array.cast_into::<PyArrayDyn<T>>()?))
}

fn numpy<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyModule>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.unbind()))?;
    Ok(numpy.bind(py))
}

pub fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Where results go.
pub struct Output<'py, T: Real> {
    /// In C order, and apart from all inputs.
    array: Bound<'py, PyArrayDyn<T>>,
    access: WriteAccess<'py, T>,
    /// What the caller passed, if the results have to be copied there.
    copy_to: Option<Bound<'py, PyArrayDyn<T>>>,
    /// `copy_to` is also an input, which an error has to leave alone.
    overlaps: bool,
}

enum WriteAccess<'py, T: Real> {
    /// The array is new, or nobody else runs.
    Sole,
    /// The array is the caller's.
    None,
    /// Other threads' calls neither read nor write it.
    Locked(#[allow(dead_code)] PyReadwriteArrayDyn<'py, T>),
}

impl<'py, T: Real> Output<'py, T> {
    fn to_new(shape: &[usize], py: Python<'py>) -> Self {
        Self {
            array: allocate(py, shape),
            access: WriteAccess::Sole,
            copy_to: None,
            overlaps: false,
        }
    }

    pub fn new(
        name: &str,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        inputs: &[Option<&Bound<'py, PyAny>>],
        py: Python<'py>,
    ) -> PyResult<Self> {
        let Some(out) = out else {
            return Ok(Self::to_new(shape, py));
        };
        let Ok(array) = out.cast_exact::<PyArrayDyn<T>>() else {
            return Err(PyTypeError::new_err(format!(
                "{name} must be a NumPy array of dtype {}",
                T::NAME
            )));
        };
        check_shape(name, array.shape(), shape, "logits")?;
        // SAFETY: it is an array.
        let flags = unsafe { (*_PyArray_GET_ITEM_DATA(array.as_array_ptr())).flags };
        if flags & NPY_ARRAY_WRITEABLE == 0 {
            return Err(read_only(name));
        }
        let extent = extent(array.as_untyped());
        let overlaps = inputs
            .iter()
            .flatten()
            .filter_map(|input| input.cast::<PyUntypedArray>().ok())
            .any(|input| overlap(&self::extent(input), &extent));
        if in_order(array) && !overlaps {
            return Ok(Self {
                array: array.clone(),
                access: WriteAccess::None,
                copy_to: None,
                overlaps,
            });
        }
        Ok(Self {
            copy_to: Some(array.clone()),
            overlaps,
            ..Self::to_new(shape, py)
        })
    }

    /// For any call, as [`Input::lock`].
    pub fn lock(&mut self, name: &str) -> PyResult<()> {
        if let WriteAccess::None = self.access {
            self.access = WriteAccess::Locked(writeable(name, &self.array)?);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As that of [`Input::keep`].
    pub unsafe fn keep(&mut self) {
        if let WriteAccess::None = self.access {
            self.access = WriteAccess::Sole;
        }
    }

    pub fn as_slice(&mut self) -> PyResult<&mut [T]> {
        if let WriteAccess::None = self.access {
            return Err(PyRuntimeError::new_err("an array was not locked"));
        }
        // SAFETY: nobody else touches it, by the access, and it is in C order and aligned.
        Ok(unsafe { self.array.as_slice_mut() }?)
    }

    /// The array that the caller gets. After an error its elements are NaN, as the kernel has left them.
    pub fn finish(self, failed: bool) -> PyResult<Bound<'py, PyAny>> {
        let Some(out) = self.copy_to else {
            return Ok(self.array.into_any());
        };
        if !(failed && self.overlaps) {
            let py = out.py();
            numpy(py)?.call_method1(intern!(py, "copyto"), (&out, &self.array))?;
        }
        Ok(out.into_any())
    }
}

pub fn writeable<'py, T: Real>(
    name: &str,
    array: &Bound<'py, PyArrayDyn<T>>,
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    array.try_readwrite().map_err(|error| match error {
        BorrowError::NotWriteable => read_only(name),
        _ => in_use(name),
    })
}

fn read_only(name: &str) -> PyErr {
    PyValueError::new_err(format!("{name} is read-only"))
}

/// Refuses outputs that share memory with each other.
pub fn check_apart(names: [&str; 2], a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = a.py();
    if let (Ok(left), Ok(right)) = (a.cast::<PyUntypedArray>(), b.cast::<PyUntypedArray>())
        && overlap(&extent(left), &extent(right))
        && numpy(py)?
            .call_method1(intern!(py, "shares_memory"), (a, b))?
            .is_truthy()?
    {
        let [a, b] = names;
        return Err(PyValueError::new_err(format!("{a} and {b} share memory")));
    }
    Ok(())
}

/// From the first to behind the last byte of an array of any strides.
pub fn extent(array: &Bound<'_, PyUntypedArray>) -> Range<usize> {
    // SAFETY: `data` is a field of every array, whatever its elements are; it is not read through.
    let start = unsafe { array.cast_unchecked::<PyArrayDyn<u8>>() }.data() as usize;
    let (mut from, mut to) = (start, start);
    for (&length, &stride) in array.shape().iter().zip(array.strides()) {
        if length == 0 {
            return start..start;
        }
        let last = stride * (length as isize - 1);
        if last < 0 {
            from = from.wrapping_add_signed(last);
        } else {
            to = to.wrapping_add_signed(last);
        }
    }
    from..to + array.dtype().itemsize()
}

fn allocate<'py, T: Real>(py: Python<'py>, shape: &[usize]) -> Bound<'py, PyArrayDyn<T>> {
    // SAFETY: memory from NumPy's allocator, of which every content is a valid float; every
    // element is written before the array is handed out: by the kernel, after errors too.
    unsafe { PyArrayDyn::new(py, shape, false) }
}

/// A shape, or an index, as Python prints a tuple.
pub struct Shape<'a>(pub &'a [usize]);

impl std::fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [one] => write!(f, "({one},)"),
            many => {
                let many: Vec<_> = many.iter().map(usize::to_string).collect();
                write!(f, "({})", many.join(", "))
            }
        }
    }
}
