//! The linear head.

use core::mem::MaybeUninit;
use core::ops::Deref;

use bce::linear::{
    ColumnScale, ColumnSum as State, Factor as RustFactor, Features, Head, gradient_gram_scratch,
    gradient_scratch, gram_length, scan,
};
use bce::{Bce, Error};

use super::Status::{self, SoftBceLengthOverflow};
use super::{
    Element, LossSum, Options, OptionsF32, OptionsF64, Span, check_apart, finish, slice, slice_mut,
    status,
};

/// The size of soft_bce_column_sum.
pub const SOFT_BCE_COLUMN_SUM_BYTES: usize = 32;
const _: () = assert!(SOFT_BCE_COLUMN_SUM_BYTES == State::BYTES);

/// The least exponent of a scale: that of a column in which nothing, or only zeros, have been seen.
pub const SOFT_BCE_LEAST_SCALE: i32 = -480;
const _: () = assert!(SOFT_BCE_LEAST_SCALE == ColumnScale::ZERO.exponent());

/// What multiplies the features of row i in a sum over the rows.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// The derivative of the row's loss by its logit.
    SoftBceFactorResidual = 0,
    /// The second derivative: for Newton steps and standard errors.
    SoftBceFactorHessian = 1,
    /// The square of the derivative, as double: for robust standard errors.
    SoftBceFactorSquaredResidual = 2,
    /// The `factors` of the soft_bce_linear, finite. Targets, weights and offset are not looked at.
    SoftBceFactorGiven = 3,
}

/// A sum over rows of factors times features, in units of a fixed grid: an integer, which depends on
/// no order and no partition of the rows. In 32 bytes that are the same on every machine: copy them,
/// write them to a file, merge them elsewhere. Use soft_bce_column_sums_start first.
///
/// For features up to 2^E, factors up to 2^F and n rows it is off by at most
/// n 2^(E + F - 46) + 2^-52 of the sum of the products' magnitudes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ColumnSum {
    /// Not to be changed by hand; every function refuses bytes that it cannot have written.
    pub bytes: [u8; SOFT_BCE_COLUMN_SUM_BYTES],
}

impl ColumnSum {
    fn state(&self) -> Result<State, Error> {
        State::from_bytes(&self.bytes)
    }
}

impl From<State> for ColumnSum {
    fn from(state: State) -> Self {
        Self {
            bytes: state.to_bytes(),
        }
    }
}

/// Some rows of a linear model: logit = features times coefficients + intercept + offset. All that
/// soft_bce_linear_* read; members that a function does not need may be null.
///
/// With an intercept sums have one element more, the last, as if there were a last column of ones: their
/// number is the `width`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Linear<T, O> {
    /// The features, row after row: element (i, j) is data[i * stride + j]. Nothing else is read.
    pub data: *const T,
    /// 0 stands for column_count.
    pub stride: usize,
    /// Or an array for each column: element (i, j) is columns[j][i]. Null if the features are in
    /// `data`, which is not looked at otherwise. The bits are those of rows.
    pub columns: *const *const T,
    /// n.
    pub row_count: usize,
    /// d.
    pub column_count: usize,
    /// One for each column, finite.
    pub coefficients: *const T,
    /// One number, finite, or null: there is none.
    pub intercept: *const T,
    /// Added to each row's logit, finite; or null.
    pub offset: *const T,
    /// The targets, one a row.
    pub t: *const T,
    /// For SOFT_BCE_FACTOR_GIVEN, one a row.
    pub factors: *const T,
    /// The group of each row, less than group_count, or null. With groups sum_gradient and column_sums
    /// keep the sums of each group apart: those of group g start at g * width.
    pub groups: *const u32,
    /// How many groups there are.
    pub group_count: usize,
    /// Those of the loss, or null. `weights` are one a row; row_weights and pos_weights are
    /// SOFT_BCE_UNSUPPORTED_OPTIONS.
    pub options: *const O,
    /// Memory of the call, whatever it holds. Calls at the same time need their own.
    pub scratch: *mut f64,
    /// At least what soft_bce_linear_scratch says, else SOFT_BCE_LENGTH_MISMATCH.
    pub scratch_length: usize,
    /// If not null: where SOFT_BCE_FEATURE_OUT_OF_SCALE stores the column; the row is `bad_index`.
    pub bad_column: *mut usize,
}

/// The caller's memory, from which arrays of any type are taken.
struct Scratch<'a>(&'a mut [f64]);

impl<'a> Scratch<'a> {
    /// What `take` needs for so many elements.
    fn words<U>(n: usize) -> usize {
        let bytes = n.checked_mul(size_of::<U>());
        let bytes = bytes.and_then(|bytes| bytes.checked_add(align_of::<U>()));
        bytes.map_or(usize::MAX, |bytes| bytes.div_ceil(size_of::<f64>()))
    }

    fn take<U: Copy>(
        &mut self,
        n: usize,
        mut make: impl FnMut(usize) -> Result<U, Error>,
    ) -> Result<&'a mut [U], Error> {
        let (words, found) = (Self::words::<U>(n), self.0.len());
        let too_short = Error::LengthMismatch {
            argument: "scratch",
            expected: words,
            found,
        };
        let whole = core::mem::take(&mut self.0);
        let (words, rest) = whole.split_at_mut_checked(words).ok_or(too_short)?;
        self.0 = rest;
        // SAFETY: what may be uninitialised has no invalid values; and no one reads these words as
        // numbers again.
        let (_, places, _) = unsafe { words.align_to_mut::<MaybeUninit<U>>() };
        let places = places.get_mut(..n).ok_or(too_short)?;
        for (index, place) in places.iter_mut().enumerate() {
            place.write(make(index)?);
        }
        // SAFETY: all have just been written.
        Ok(unsafe { slice_mut(places.as_mut_ptr().cast(), n) })
    }
}

/// What an operation needs besides features; the rest is not looked at.
#[derive(Clone, Copy)]
struct Needs {
    coefficients: bool,
    targets: bool,
    factors: bool,
}

impl Needs {
    const FEATURES: Self = Self {
        coefficients: false,
        targets: false,
        factors: false,
    };
    const LOGITS: Self = Self {
        coefficients: true,
        ..Self::FEATURES
    };
    const LOSS: Self = Self {
        targets: true,
        ..Self::LOGITS
    };

    fn or_factors(self, factor: u32) -> Self {
        Self {
            factors: factor == Factor::SoftBceFactorGiven as u32,
            ..self
        }
    }

    /// Of sums of products with this factor.
    fn of_factor(factor: u32) -> Self {
        let needs = Self::LOGITS.or_factors(factor);
        Self {
            targets: !needs.factors,
            ..needs
        }
    }
}

/// The memory of a call as Rust has it.
struct Ready<'a, T: Element> {
    x: Features<'a, T>,
    head: Head<'a, T>,
    t: &'a [T],
    factors: &'a [T],
    groups: Option<&'a [u32]>,
    output: &'a mut [T],
    scratch: Scratch<'a>,
}

impl<'a, T: Element> Ready<'a, T> {
    fn factor(&self, number: u32) -> Result<RustFactor<'a, T>, Error> {
        const RESIDUAL: u32 = Factor::SoftBceFactorResidual as u32;
        const HESSIAN: u32 = Factor::SoftBceFactorHessian as u32;
        const SQUARED: u32 = Factor::SoftBceFactorSquaredResidual as u32;
        const GIVEN: u32 = Factor::SoftBceFactorGiven as u32;
        match number {
            RESIDUAL => Ok(RustFactor::Residual),
            HESSIAN => Ok(RustFactor::Hessian),
            SQUARED => Ok(RustFactor::SquaredResidual),
            GIVEN => Ok(RustFactor::Given(self.factors)),
            _ => Err(Error::InvalidOption {
                option: "factor",
                value: f64::from(number),
                range: "a soft_bce_factor",
            }),
        }
    }

    fn states(&mut self, sums: &[ColumnSum]) -> Result<&'a mut [State], Error> {
        let malformed = Error::MalformedColumnSum;
        let state = |index| sums.get(index).ok_or(malformed).and_then(ColumnSum::state);
        self.scratch.take(sums.len(), state)
    }
}

fn store(states: &[State], sums: &mut [ColumnSum]) {
    for (sum, state) in sums.iter_mut().zip(states) {
        *sum = (*state).into();
    }
}

fn scale(exponent: i32) -> Result<ColumnScale, Error> {
    let value = f64::from(exponent);
    ColumnScale::from_exponent(exponent).ok_or(Error::ScaleOutOfRange { value })
}

/// What a call reads or writes besides the model, scratch and `bad_index`.
struct Memory<T, const SPANS: usize> {
    spans: [Span; SPANS],
    /// One of them that is NaN after an error, or nothing.
    output: (*mut T, usize),
}

impl<T, const SPANS: usize> Memory<T, SPANS> {
    /// Without such an output.
    fn new(spans: [Span; SPANS]) -> Self {
        Self {
            spans,
            output: (core::ptr::null_mut(), 0),
        }
    }
}

#[allow(private_bounds, reason = "C has the two types, not the traits")]
impl<T: Element, O: Options<Real = T>> Linear<T, O> {
    /// # Safety
    /// The memory is valid for reads, if not null.
    unsafe fn read(this: *const Self) -> Result<Model<T, O>, Status> {
        let place = Span::input(this, 1)?;
        // SAFETY: not null, aligned; the rest is the caller's promise.
        let linear = unsafe { this.read() };
        Ok(Model { linear, place })
    }

    fn width(&self) -> Result<usize, Status> {
        let intercept = usize::from(!self.intercept.is_null());
        self.column_count
            .checked_add(intercept)
            .ok_or(SoftBceLengthOverflow)
    }

    /// The number of sums of a gradient, in all groups.
    fn sums(&self) -> Result<usize, Status> {
        let sets = if self.groups.is_null() {
            1
        } else {
            self.group_count
        };
        self.width()?.checked_mul(sets).ok_or(SoftBceLengthOverflow)
    }

    fn gram_sums(&self) -> Result<usize, Status> {
        match gram_length(self.width()?) {
            // Saturated before it was halved.
            length if length >= usize::MAX / 2 => Err(SoftBceLengthOverflow),
            length => Ok(length),
        }
    }

    /// Elements that are read from `data`.
    fn data_length(&self) -> Result<usize, Status> {
        if !self.columns.is_null() || self.row_count == 0 || self.column_count == 0 {
            return Ok(0);
        }
        (self.row_count - 1)
            .checked_mul(self.stride_of_rows())
            .and_then(|start| start.checked_add(self.column_count))
            .ok_or(SoftBceLengthOverflow)
    }

    fn stride_of_rows(&self) -> usize {
        if self.stride == 0 || self.column_count == 0 {
            self.column_count
        } else {
            self.stride
        }
    }
}

/// What was read, and where.
struct Model<T, O> {
    linear: Linear<T, O>,
    place: Span,
}

impl<T, O> Deref for Model<T, O> {
    type Target = Linear<T, O>;

    fn deref(&self) -> &Self::Target {
        &self.linear
    }
}

impl<T: Element, O: Options<Real = T>> Model<T, O> {
    /// Checks all pointers, makes slices of them, and runs the operation.
    ///
    /// # Safety
    /// Each pointer that passes the checks is valid for what the call reads or writes there.
    unsafe fn run<const SPANS: usize>(
        self,
        needs: Needs,
        memory: Memory<T, SPANS>,
        bad_index: *mut usize,
        operation: impl FnOnce(Ready<'_, T>) -> Result<(), Error>,
    ) -> Result<Status, Status> {
        let rows = self.row_count;
        let if_given = |pointer: *const T, n| if pointer.is_null() { 0 } else { n };
        let coefficients = if needs.coefficients {
            self.column_count
        } else {
            0
        };
        let targets = if needs.targets { rows } else { 0 };
        let factors_count = if needs.factors { rows } else { 0 };
        let group_rows = if self.groups.is_null() { 0 } else { rows };
        let columns = match self.columns.is_null() {
            true => 0,
            false => self.column_count,
        };
        let options = Span::input(self.options, usize::from(!self.options.is_null()))?;
        // SAFETY: null or aligned, and the caller's promise.
        let options_of_call = unsafe { self.options.as_ref() };
        let none = [(core::ptr::null(), 0); 3];
        let [(weights, _), row_weights, pos_weights] =
            options_of_call.map_or(none, Options::weights);
        let refused = |(weights, n)| Span::input(weights, if_given(weights, n));
        let read = [
            self.place,
            options,
            refused(row_weights)?,
            refused(pos_weights)?,
            Span::input(self.data, self.data_length()?)?,
            Span::input(self.columns, columns)?,
            Span::input(self.coefficients, coefficients)?,
            Span::input(self.intercept, if_given(self.intercept, 1))?,
            Span::input(self.offset, if_given(self.offset, rows))?,
            Span::input(self.t, targets)?,
            Span::input(self.factors, factors_count)?,
            Span::input(self.groups, group_rows)?,
            Span::input(weights, if_given(weights, rows))?,
        ];
        let place = |place: *mut usize| Span::output(place, usize::from(!place.is_null()));
        let own = [
            Span::output(self.scratch, self.scratch_length)?,
            place(bad_index)?,
            place(self.bad_column)?,
        ];
        const { assert!(SPANS <= 4) };
        let mut spans = [options; 20];
        let all = read.into_iter().chain(own).chain(memory.spans);
        for (to, from) in spans.iter_mut().zip(all) {
            *to = from;
        }
        // SAFETY: checked above, and nothing has been written.
        let pointers = unsafe { slice(self.columns, columns) };
        // Overlaps come last: all pointers and lengths are right by then.
        for column in pointers {
            Span::input(*column, rows)?;
        }
        // Places that are left repeat the options, which are only read.
        check_apart(&spans)?;
        for column in pointers {
            let column = Span::input(*column, rows)?;
            for span in own.into_iter().chain(memory.spans) {
                check_apart(&[span, column])?;
            }
        }

        // SAFETY: checked above; it overlaps nothing.
        let output = unsafe { slice_mut(memory.output.0, memory.output.1) };
        // SAFETY: as above; what is written overlaps nothing that is read.
        let (scratch, data, coefficients, offset, t, factors, groups, intercept) = unsafe {
            (
                slice_mut(self.scratch, self.scratch_length),
                slice(self.data, self.data_length()?),
                slice(self.coefficients, coefficients),
                slice(self.offset, if_given(self.offset, rows)),
                slice(self.t, targets),
                slice(self.factors, factors_count),
                slice(self.groups, group_rows),
                self.intercept.as_ref(),
            )
        };
        let mut bce = options_of_call.map_or(Bce::new(), Options::bce);
        if !weights.is_null() {
            // SAFETY: checked above.
            bce = bce.weights(unsafe { slice(weights, rows) });
        }
        // Refused whatever they are.
        if !row_weights.0.is_null() {
            bce = bce.row_weights(&[]);
        }
        if !pos_weights.0.is_null() {
            bce = bce.pos_weights(&[]);
        }
        if let Some(options) = options_of_call {
            bce = options.apply(bce).inspect_err(|_| T::poison(output))?;
        }
        let mut scratch = Scratch(scratch);
        let operate = || {
            let x = if self.columns.is_null() {
                Features::strided(data, rows, self.column_count, self.stride_of_rows())?
            } else {
                let columns = scratch.take(columns, |column| {
                    let column = pointers.get(column).copied();
                    // SAFETY: checked above.
                    Ok(unsafe { slice(column.unwrap_or(core::ptr::null()), rows) })
                })?;
                Features::columns(columns, rows)?
            };
            let mut head = Head::new(coefficients).bce(bce);
            if let Some(intercept) = intercept {
                head = head.intercept(*intercept);
            }
            if !self.offset.is_null() {
                head = head.offset(offset);
            }
            operation(Ready {
                x,
                head,
                t,
                factors,
                groups: (!self.groups.is_null()).then_some(groups),
                output: &mut *output,
                scratch,
            })
        };
        let outcome = operate();
        if let Err(error) = outcome {
            T::poison(output);
            if let Error::FeatureOutOfScale { column, .. } = error
                && !self.bad_column.is_null()
            {
                // SAFETY: checked above.
                unsafe { self.bad_column.write(column) };
            }
        }
        // SAFETY: checked above; all slices are out of use. Nothing is written of `()`.
        Ok(unsafe { finish(outcome, super::NOTHING, bad_index) })
    }
}

macro_rules! operations {
    (
        $real:ident, $options:ident, $scan:ident $logits:ident $predict:ident $factor_scale:ident
        $hessian_vector_scale:ident $sum_gradient:ident $column_sums:ident $hessian_vector:ident
        $gram:ident $sum_gradient_gram:ident
    ) => {
        /// Raises the exponent of each column's scale in `scales`, of column_count elements, to the least E with
        /// |x| <= 2^E: first of all SOFT_BCE_LEAST_SCALE, they end as the data set's, however it is cut. Scales of
        /// parts are merged by maxima. An element that is NaN, infinite or beyond 2^959 is
        /// SOFT_BCE_FEATURE_OUT_OF_SCALE. After an error `scales` is as it was.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $scan(
            model: *const Linear<$real, $options>,
            scales: *mut i32,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { scan_columns(model, scales, bad_index) })
        }

        /// Writes the logit of each row: its bits depend on no layout, machine and backend. One beyond the range
        /// of the type is SOFT_BCE_INVALID_LOGIT.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $logits(
            model: *const Linear<$real, $options>,
            z: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { write(model, z, bad_index, |head, x, z| head.logits(x, z)) })
        }

        /// Writes 1 / (1 + exp(-logit)) of each row. Errors as for logits.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $predict(
            model: *const Linear<$real, $options>,
            p: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { write(model, p, bad_index, |head, x, p| head.predict(x, p)) })
        }

        /// Stores the exponent of a bound on all factors, a soft_bce_factor, of these rows: what the weights and
        /// options admit. Of parts of a data set take the maximum. A smaller bound that holds makes sums more
        /// exact; factors beyond it are SOFT_BCE_FACTOR_OUT_OF_SCALE.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $factor_scale(
            model: *const Linear<$real, $options>,
            factor: u32,
            scale: *mut i32,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { factor_scale(model, factor, scale, bad_index) })
        }

        /// The same for hessian_vector, with features of these scales and that direction.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $hessian_vector_scale(
            model: *const Linear<$real, $options>,
            scales: *const i32,
            direction: *const $real,
            scale: *mut i32,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { hessian_vector_scale(model, scales, direction, scale, bad_index) })
        }

        /// Adds the losses of all rows to `loss`, exactly, and the residuals times the features to `gradient`: the
        /// derivatives by coefficients and intercept, `width` sums, or group_count times as many. The bits
        /// depend on no order of the rows.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sum_gradient(
            model: *const Linear<$real, $options>,
            loss: *mut LossSum,
            gradient: *mut ColumnSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { sum_gradient(model, loss, gradient, bad_index) })
        }

        /// Adds factors, a soft_bce_factor, times features to `sums`, as many as a gradient has.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $column_sums(
            model: *const Linear<$real, $options>,
            factor: u32,
            sums: *mut ColumnSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { column_sums(model, factor, sums, bad_index) })
        }

        /// Adds the Hessian by coefficients and intercept, times `direction`, to `sums`: `width` elements each.
        /// Groups are not looked at.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $hessian_vector(
            model: *const Linear<$real, $options>,
            direction: *const $real,
            sums: *mut ColumnSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { hessian_vector(model, direction, sums, bad_index) })
        }

        /// Adds factor times feature times feature to `sums`, the lower triangle of the Gram matrix, row by row:
        /// element (j, k), k <= j, is at j (j + 1) / 2 + k. Groups are not looked at.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $gram(
            model: *const Linear<$real, $options>,
            factor: u32,
            sums: *mut ColumnSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { gram(model, factor, sums, bad_index) })
        }

        /// Sum_gradient (without groups) and gram in one pass: with SOFT_BCE_FACTOR_HESSIAN a Newton step.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sum_gradient_gram(
            model: *const Linear<$real, $options>,
            factor: u32,
            loss: *mut LossSum,
            gradient: *mut ColumnSum,
            sums: *mut ColumnSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            either(unsafe { sum_gradient_gram(model, factor, loss, gradient, sums, bad_index) })
        }
    };
}

operations!(
    f32, OptionsF32, soft_bce_linear_scan_f32 soft_bce_linear_logits_f32 soft_bce_linear_predict_f32
    soft_bce_linear_factor_scale_f32 soft_bce_linear_hessian_vector_scale_f32
    soft_bce_linear_sum_gradient_f32 soft_bce_linear_column_sums_f32
    soft_bce_linear_hessian_vector_f32 soft_bce_linear_gram_f32 soft_bce_linear_sum_gradient_gram_f32
);
operations!(
    f64, OptionsF64, soft_bce_linear_scan_f64 soft_bce_linear_logits_f64 soft_bce_linear_predict_f64
    soft_bce_linear_factor_scale_f64 soft_bce_linear_hessian_vector_scale_f64
    soft_bce_linear_sum_gradient_f64 soft_bce_linear_column_sums_f64
    soft_bce_linear_hessian_vector_f64 soft_bce_linear_gram_f64 soft_bce_linear_sum_gradient_gram_f64
);

fn either(outcome: Result<Status, Status>) -> Status {
    outcome.unwrap_or_else(|status| status)
}

/// # Safety
/// As for `Linear::run`, of all these operations.
unsafe fn scan_columns<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    scales: *mut i32,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let d = model.column_count;
    let memory = Memory::new([Span::output(scales, d)?]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::FEATURES, memory, bad_index, |mut ready| {
            let scales = slice_mut(scales, d);
            let of = |index| scale(scales.get(index).copied().unwrap_or(0));
            let states = ready.scratch.take(d, of)?;
            scan(&ready.x, states)?;
            for (to, from) in scales.iter_mut().zip(states) {
                *to = from.exponent();
            }
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn write<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    output: *mut T,
    bad_index: *mut usize,
    operation: impl FnOnce(&Head<'_, T>, &Features<'_, T>, &mut [T]) -> Result<(), Error>,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let n = model.row_count;
    let memory = Memory {
        spans: [Span::output(output, n)?],
        output: (output, n),
    };
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::LOGITS, memory, bad_index, |ready| {
            operation(&ready.head, &ready.x, ready.output)
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn factor_scale<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    factor: u32,
    scale: *mut i32,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let memory = Memory::new([Span::output(scale, 1)?]);
    let needs = Needs::FEATURES.or_factors(factor);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(needs, memory, bad_index, |ready| {
            let factor = ready.factor(factor)?;
            scale.write(ready.head.factor_scale(factor)?.exponent());
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn hessian_vector_scale<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    scales: *const i32,
    direction: *const T,
    bound: *mut i32,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let (d, width) = (model.column_count, model.width()?);
    let memory = Memory::new([
        Span::input(scales, d)?,
        Span::input(direction, width)?,
        Span::output(bound, 1)?,
    ]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::LOGITS, memory, bad_index, |mut ready| {
            let scales = slice(scales, d);
            let of = |index| scale(scales.get(index).copied().unwrap_or(0));
            let scales = ready.scratch.take(d, of)?;
            let direction = slice(direction, width);
            let found = ready.head.hessian_vector_scale(scales, direction)?;
            bound.write(found.exponent());
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn sum_gradient<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    loss: *mut LossSum,
    gradient: *mut ColumnSum,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let count = model.sums()?;
    let memory = Memory::new([Span::output(loss, 1)?, Span::output(gradient, count)?]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::LOSS, memory, bad_index, |mut ready| {
            let mut total = LossSum::read(loss).map_err(|_| Error::MalformedLossSum)?;
            let sums = slice_mut(gradient, count);
            let states = ready.states(sums)?;
            let (head, x, t, scratch) = (ready.head, &ready.x, ready.t, ready.scratch.0);
            match ready.groups {
                Some(groups) => head.group_gradient(x, t, groups, &mut total, states, scratch)?,
                None => head.sum_gradient(x, t, &mut total, states, scratch)?,
            }
            store(states, sums);
            loss.write(total.into());
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn column_sums<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    factor: u32,
    sums: *mut ColumnSum,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let count = model.sums()?;
    let memory = Memory::new([Span::output(sums, count)?]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::of_factor(factor), memory, bad_index, |mut ready| {
            let factor = ready.factor(factor)?;
            let sums = slice_mut(sums, count);
            let states = ready.states(sums)?;
            let (head, x, t, scratch) = (ready.head, &ready.x, ready.t, ready.scratch.0);
            match ready.groups {
                Some(groups) => head.group_sums(x, t, factor, groups, states, scratch)?,
                None => head.column_sums(x, t, factor, states, scratch)?,
            }
            store(states, sums);
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn hessian_vector<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    direction: *const T,
    sums: *mut ColumnSum,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let width = model.width()?;
    let memory = Memory::new([Span::input(direction, width)?, Span::output(sums, width)?]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::LOSS, memory, bad_index, |mut ready| {
            let sums = slice_mut(sums, width);
            let states = ready.states(sums)?;
            let (x, t, direction) = (&ready.x, ready.t, slice(direction, width));
            let scratch = ready.scratch.0;
            ready
                .head
                .hessian_vector(x, t, direction, states, scratch)?;
            store(states, sums);
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn gram<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    factor: u32,
    sums: *mut ColumnSum,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let count = model.gram_sums()?;
    let memory = Memory::new([Span::output(sums, count)?]);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(Needs::of_factor(factor), memory, bad_index, |mut ready| {
            let factor = ready.factor(factor)?;
            let sums = slice_mut(sums, count);
            let states = ready.states(sums)?;
            let (x, t, scratch) = (&ready.x, ready.t, ready.scratch.0);
            ready.head.gram(x, t, factor, states, scratch)?;
            store(states, sums);
            Ok(())
        })
    }
}

/// # Safety
/// See `scan_columns`.
unsafe fn sum_gradient_gram<T: Element, O: Options<Real = T>>(
    model: *const Linear<T, O>,
    factor: u32,
    loss: *mut LossSum,
    gradient: *mut ColumnSum,
    gram: *mut ColumnSum,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    // SAFETY: the caller's promise.
    let model = unsafe { Linear::read(model) }?;
    let (width, count) = (model.width()?, model.gram_sums()?);
    let memory = Memory::new([
        Span::output(loss, 1)?,
        Span::output(gradient, width)?,
        Span::output(gram, count)?,
    ]);
    let needs = Needs::LOSS.or_factors(factor);
    // SAFETY: the caller's promise.
    unsafe {
        model.run(needs, memory, bad_index, |mut ready| {
            let factor = ready.factor(factor)?;
            let mut total = LossSum::read(loss).map_err(|_| Error::MalformedLossSum)?;
            let (gradient, gram) = (slice_mut(gradient, width), slice_mut(gram, count));
            let (sums, products) = (ready.states(gradient)?, ready.states(gram)?);
            let (head, x, t, scratch) = (ready.head, &ready.x, ready.t, ready.scratch.0);
            head.sum_gradient_gram(x, t, factor, &mut total, sums, products, scratch)?;
            store(sums, gradient);
            store(products, gram);
            loss.write(total.into());
            Ok(())
        })
    }
}

/// How many doubles of scratch are enough for all calls with so many columns, an intercept if that is
/// not 0, and so many groups (0 for none); also for those with a Gram matrix if with_gram is not 0.
/// SIZE_MAX if that is too many.
#[unsafe(no_mangle)]
pub extern "C" fn soft_bce_linear_scratch(
    column_count: usize,
    intercept: u32,
    group_count: usize,
    with_gram: u32,
) -> usize {
    // So that no square overflows below.
    if column_count >= 1 << (usize::BITS / 2 - 4) {
        return usize::MAX;
    }
    let width = column_count + usize::from(intercept != 0);
    let sums = width.saturating_mul(group_count.max(1));
    let of_states = Scratch::words::<State>(sums);
    let of_call = match with_gram {
        0 => gradient_scratch(width),
        _ => {
            gradient_gram_scratch(width).saturating_add(Scratch::words::<State>(gram_length(width)))
        }
    };
    Scratch::words::<&[f64]>(column_count)
        .saturating_add(of_states)
        .saturating_add(of_call)
}

/// Makes `sums` the sums of no rows, of column_count columns with these exponents of scales and, unless
/// `intercept` is 0, one of ones, with factors up to 2^factor_scale.
/// SOFT_BCE_SCALE_OUT_OF_RANGE if a scale is not from -480 to 959, or the sum of two is beyond 959: then
/// `sums` is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_column_sums_start(
    scales: *const i32,
    column_count: usize,
    intercept: u32,
    factor_scale: i32,
    sums: *mut ColumnSum,
) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe {
        start(scales, column_count, intercept, sums, 1, |scales, sums| {
            let factor = scale(factor_scale)?;
            let scales = || scales.iter().copied().chain((intercept != 0).then_some(0));
            for exponent in scales() {
                State::new(scale(exponent)?, factor)?;
            }
            for (sum, exponent) in sums.iter_mut().zip(scales()) {
                *sum = State::new(scale(exponent)?, factor)?.into();
            }
            Ok(())
        })
    })
}

/// The same for the (width (width + 1)) / 2 sums of a Gram matrix, where the sum of three exponents counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_column_sums_start_gram(
    scales: *const i32,
    column_count: usize,
    intercept: u32,
    factor_scale: i32,
    sums: *mut ColumnSum,
) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe {
        start(scales, column_count, intercept, sums, 2, |scales, sums| {
            let factor = scale(factor_scale)?;
            let scales = || scales.iter().copied().chain((intercept != 0).then_some(0));
            for exponent in scales() {
                let scale = scale(exponent)?;
                State::of_products(scale, scale, factor)?;
            }
            let mut sums = sums.iter_mut();
            for (row, left) in scales().enumerate() {
                for (right, sum) in scales().take(row + 1).zip(&mut sums) {
                    *sum = State::of_products(scale(left)?, scale(right)?, factor)?.into();
                }
            }
            Ok(())
        })
    })
}

/// # Safety
/// Pointers that pass the checks are valid.
unsafe fn start(
    scales: *const i32,
    column_count: usize,
    intercept: u32,
    sums: *mut ColumnSum,
    dimensions: u32,
    fill: impl FnOnce(&[i32], &mut [ColumnSum]) -> Result<(), Error>,
) -> Result<(), Status> {
    let width = column_count.checked_add(usize::from(intercept != 0));
    let width = width.ok_or(SoftBceLengthOverflow)?;
    let count = match dimensions {
        1 => width,
        _ => gram_length(width),
    };
    check_apart(&[
        Span::input(scales, column_count)?,
        Span::output(sums, count)?,
    ])?;
    // SAFETY: checked above; the rest is the caller's promise.
    let (scales, sums) = unsafe { (slice(scales, column_count), slice_mut(sums, count)) };
    Ok(fill(scales, sums)?)
}

/// Adds each of the `n` sums of `others` to that of `sums`, exactly, or none of them: of different scales they are
/// SOFT_BCE_SCALE_MISMATCH, and `bad_index` has the first such index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_column_sums_merge(
    sums: *mut ColumnSum,
    others: *const ColumnSum,
    n: usize,
    bad_index: *mut usize,
) -> Status {
    // SAFETY: the caller's promise.
    either(unsafe { merge(sums, others, n, bad_index) })
}

/// # Safety
/// Pointers that pass the checks are valid.
unsafe fn merge(
    sums: *mut ColumnSum,
    others: *const ColumnSum,
    n: usize,
    bad_index: *mut usize,
) -> Result<Status, Status> {
    let place = Span::output(bad_index, usize::from(!bad_index.is_null()))?;
    check_apart(&[Span::output(sums, n)?, Span::input(others, n)?, place])?;
    // SAFETY: checked above; the rest is the caller's promise.
    let (sums, others) = unsafe { (slice_mut(sums, n), slice(others, n)) };
    let merged = |(sum, other): (&ColumnSum, &ColumnSum)| {
        let mut sum = sum.state()?;
        sum.merge(&other.state()?)?;
        Ok(ColumnSum::from(sum))
    };
    let all = || {
        for (index, pair) in sums.iter().zip(others).enumerate() {
            merged(pair).map_err(|error| match error {
                Error::ScaleMismatch { .. } => Error::ScaleMismatch { index },
                error => error,
            })?;
        }
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum = merged((sum, other))?;
        }
        Ok(())
    };
    let outcome = { all }();
    // SAFETY: checked above.
    Ok(unsafe { finish(outcome, super::NOTHING, bad_index) })
}

/// Stores the value of each of the `n` sums, correctly rounded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_column_sums_values(
    sums: *const ColumnSum,
    n: usize,
    values: *mut f64,
) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe { store_values(sums, n, values) })
}

/// # Safety
/// Pointers that pass the checks are valid.
unsafe fn store_values(sums: *const ColumnSum, n: usize, values: *mut f64) -> Result<(), Status> {
    check_apart(&[Span::input(sums, n)?, Span::output(values, n)?])?;
    // SAFETY: checked above; the rest is the caller's promise.
    let (sums, values) = unsafe { (slice(sums, n), slice_mut(values, n)) };
    for (index, value) in values.iter_mut().enumerate() {
        let state = sums.get(index).ok_or(Error::MalformedColumnSum);
        match state.and_then(ColumnSum::state) {
            Ok(state) => *value = state.to_f64(),
            Err(error) => {
                values.fill(f64::NAN);
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Stores how many rows have been added to `sum`, those of weight 0 included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_column_sum_rows(sum: *const ColumnSum, rows: *mut u64) -> Status {
    let apart = Span::input(sum, 1).and_then(|sum| check_apart(&[sum, Span::output(rows, 1)?]));
    status(apart.and_then(|()| {
        // SAFETY: checked; the rest is the caller's promise.
        unsafe { rows.write((*sum).state()?.rows()) };
        Ok(())
    }))
}
