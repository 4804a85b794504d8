//! The C interface of soft-bce. Its documentation is in `include/soft_bce.h`, which cbindgen makes
//! from this file.

#![no_std]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
// The same for all, and said once at the head of the header: pointers are valid for what the call
// reads and writes.
#![allow(clippy::missing_safety_doc)]

#[cfg(feature = "std")]
extern crate std;

pub mod linear;

use core::ffi::{CStr, c_char};

use bce::{Bce, Error, Focal, SquaredError, probability};

/// The version of this header; soft_bce_version gives that of the library.
pub const SOFT_BCE_VERSION_MAJOR: u32 = 0;
/// See SOFT_BCE_VERSION_MAJOR.
pub const SOFT_BCE_VERSION_MINOR: u32 = 1;
/// See SOFT_BCE_VERSION_MAJOR.
pub const SOFT_BCE_VERSION_PATCH: u32 = 0;

/// The size of soft_bce_loss_sum.
pub const SOFT_BCE_LOSS_SUM_BYTES: usize = 288;
const _: () = assert!(SOFT_BCE_LOSS_SUM_BYTES == bce::LossSum::BYTES);

/// A flag of options, for float alone: every loss, gradient and Hessian is the true value rounded
/// once, to nearest even, at two to three times the cost; far more without FMA instructions for
/// double. Excludes all other options but target_tolerance and backend.
pub const SOFT_BCE_EXACT: u32 = 1;
/// A flag of options: every loss is reported above its least value for the target, the target's
/// entropy: t ln(t/s) + (1 - t) ln((1 - t)/(1 - s)). Gradients and Hessians do not change. Excludes
/// pos_weight, pos_weights, label_smoothing and SOFT_BCE_EXACT.
pub const SOFT_BCE_EXCESS: u32 = 2;
/// A flag of options: `t` holds logits u, a teacher's, and the target is 1 / (1 + exp(-u)), never
/// rounded; +-infinity are the hard labels, NaN is SOFT_BCE_TARGET_OUT_OF_RANGE. Excludes pos_weight,
/// pos_weights, label_smoothing, target_tolerance and SOFT_BCE_EXACT.
pub const SOFT_BCE_LOGIT_TARGETS: u32 = 4;
/// A flag of options: the loss is (s - t)^2. Excludes pos_weight, pos_weights, label_smoothing and
/// the other flags.
pub const SOFT_BCE_SQUARED_ERROR: u32 = 8;
/// A flag of options: the loss is |s - t|^beta times cross-entropy. There is no Hessian of it. Excludes
/// what SOFT_BCE_SQUARED_ERROR excludes.
pub const SOFT_BCE_FOCAL: u32 = 16;
const FLAGS: u32 = 31;

/// What became of a call. Values keep their meaning; later versions may add more.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The call did what its description says.
    SoftBceOk = 0,
    /// A pointer is null that must not be.
    SoftBceNullPointer = 1,
    /// A pointer is not aligned for its type.
    SoftBceMisaligned = 2,
    /// The array is larger than the address space: the length must be wrong.
    SoftBceLengthOverflow = 3,
    /// Memory that is written overlaps other memory of the call.
    SoftBceOverlap = 4,
    /// A target (for soft_bce_logit, a probability) is NaN or outside [0, 1], by more than
    /// target_tolerance.
    SoftBceTargetOutOfRange = 5,
    /// A weight is NaN, infinite or negative; -0 is 0.
    SoftBceInvalidWeight = 6,
    /// An option is out of its range: pos_weight finite and > 0 (0 stands for 1), label_smoothing
    /// in [0, 1], target_tolerance and beta finite and >= 0, temperature finite and > 0 (0 stands for
    /// 1); or an unknown bit of flags is set, or backend is unknown.
    SoftBceInvalidOption = 7,
    /// The options exclude each other, or this type does not offer them.
    SoftBceUnsupportedOptions = 8,
    /// The mean of no elements, or of a total weight of 0.
    SoftBceEmpty = 9,
    /// This machine cannot run the backend asked for.
    SoftBceBackendUnavailable = 10,
    /// The soft_bce_loss_sum is not initialised, or damaged.
    SoftBceMalformedLossSum = 11,
    /// A fault of the library. Please report it.
    SoftBceInternalError = 12,
    /// The number of row_weights or of pos_weights does not divide `n`.
    SoftBceLengthMismatch = 13,
    /// A weight of a row is NaN, infinite or negative; -0 is 0.
    SoftBceInvalidRowWeight = 14,
    /// The pos_weight of a class is NaN, infinite or not positive.
    SoftBceInvalidPosWeight = 15,
    /// A probability is NaN or outside [0, 1].
    SoftBceProbabilityOutOfRange = 16,
    /// A feature is NaN, infinite or beyond its column's scale.
    SoftBceFeatureOutOfScale = 17,
    /// A coefficient, or a direction's element, is NaN or infinite.
    SoftBceInvalidCoefficient = 18,
    /// An offset is NaN or infinite.
    SoftBceInvalidOffset = 19,
    /// A row's logit is NaN or infinite: beyond the range of the type.
    SoftBceInvalidLogit = 20,
    /// A factor is NaN or beyond its scale.
    SoftBceFactorOutOfScale = 21,
    /// A number has no scale, or a product of scales is beyond 2^959.
    SoftBceScaleOutOfRange = 22,
    /// Sums of scales that do not belong together, or an intercept's below 2^0.
    SoftBceScaleMismatch = 23,
    /// A group is not less than group_count.
    SoftBceGroupOutOfRange = 24,
    /// More than 2^64 rows.
    SoftBceTooManyRows = 25,
    /// A soft_bce_column_sum is not started, or damaged.
    SoftBceMalformedColumnSum = 26,
}
use Status::*;

/// Implementations. All give the same bits; they differ in speed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The fastest of this machine.
    SoftBceBackendAuto = 0,
    /// One element at a time.
    SoftBceBackendScalar = 1,
    /// The vector instructions the library was compiled for, such as SSE2 or NEON.
    SoftBceBackendWide = 2,
    /// AVX2 and FMA.
    SoftBceBackendAvx2 = 3,
    /// AVX-512.
    SoftBceBackendAvx512 = 4,
}

/// An exact sum of losses, in 288 bytes that are the same on every machine: copy them, write them
/// to a file, send them elsewhere and merge them there. Use soft_bce_loss_sum_init first.
///
/// Equal multisets of values give equal bytes, in whatever order they were added and merged.
#[repr(C)]
pub struct LossSum {
    /// Not to be changed by hand; every function refuses bytes that it cannot have written.
    pub bytes: [u8; SOFT_BCE_LOSS_SUM_BYTES],
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::TargetOutOfRange { .. } => SoftBceTargetOutOfRange,
            Error::InvalidWeight { .. } => SoftBceInvalidWeight,
            Error::LengthMismatch { .. } => SoftBceLengthMismatch,
            Error::InvalidRowWeight { .. } => SoftBceInvalidRowWeight,
            Error::InvalidPosWeight { .. } => SoftBceInvalidPosWeight,
            Error::ProbabilityOutOfRange { .. } => SoftBceProbabilityOutOfRange,
            Error::InvalidOption { .. } => SoftBceInvalidOption,
            Error::UnsupportedOptions { .. } => SoftBceUnsupportedOptions,
            Error::Empty => SoftBceEmpty,
            Error::BackendUnavailable { .. } => SoftBceBackendUnavailable,
            Error::MalformedLossSum => SoftBceMalformedLossSum,
            Error::FeatureOutOfScale { .. } => SoftBceFeatureOutOfScale,
            Error::InvalidCoefficient { .. } => SoftBceInvalidCoefficient,
            Error::InvalidOffset { .. } => SoftBceInvalidOffset,
            Error::InvalidLogit { .. } => SoftBceInvalidLogit,
            Error::FactorOutOfScale { .. } => SoftBceFactorOutOfScale,
            Error::ScaleOutOfRange { .. } => SoftBceScaleOutOfRange,
            Error::ScaleMismatch { .. } => SoftBceScaleMismatch,
            Error::GroupOutOfRange { .. } => SoftBceGroupOutOfRange,
            Error::TooManyRows => SoftBceTooManyRows,
            Error::MalformedColumnSum => SoftBceMalformedColumnSum,
            _ => SoftBceInternalError,
        }
    }
}

/// Memory that a call names, checked to be what a Rust slice may cover.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    bytes: usize,
    written: bool,
}

impl Span {
    fn of<T>(pointer: *const T, n: usize, written: bool) -> Result<Self, Status> {
        if n == 0 {
            return Ok(Self {
                first: 0,
                bytes: 0,
                written,
            });
        }
        if pointer.is_null() {
            return Err(SoftBceNullPointer);
        }
        if !pointer.is_aligned() {
            return Err(SoftBceMisaligned);
        }
        let first = pointer.addr();
        let bytes = n.checked_mul(size_of::<T>()).ok_or(SoftBceLengthOverflow)?;
        if bytes > isize::MAX as usize || first.checked_add(bytes - 1).is_none() {
            return Err(SoftBceLengthOverflow);
        }
        Ok(Self {
            first,
            bytes,
            written,
        })
    }

    fn input<T>(pointer: *const T, n: usize) -> Result<Self, Status> {
        Self::of(pointer, n, false)
    }

    fn output<T>(pointer: *mut T, n: usize) -> Result<Self, Status> {
        Self::of(pointer, n, true)
    }

    fn overlaps(self, other: Self) -> bool {
        let (low, high) = if self.first <= other.first {
            (self, other)
        } else {
            (other, self)
        };
        low.bytes > high.first - low.first && high.bytes > 0
    }
}

fn check_apart(spans: &[Span]) -> Result<(), Status> {
    let mut rest = spans;
    while let [span, others @ ..] = rest {
        for other in others {
            if (span.written || other.written) && span.overlaps(*other) {
                return Err(SoftBceOverlap);
            }
        }
        rest = others;
    }
    Ok(())
}

/// # Safety
/// `Span::of` accepted the memory, which is valid for reads for as long as `'a`.
unsafe fn slice<'a, T>(pointer: *const T, n: usize) -> &'a [T] {
    if n == 0 {
        return &[];
    }
    // SAFETY: not null, aligned, not too long; the rest is the caller's promise.
    unsafe { core::slice::from_raw_parts(pointer, n) }
}

/// # Safety
/// As `slice`, for writes too; and no other reference covers any of it.
unsafe fn slice_mut<'a, T>(pointer: *mut T, n: usize) -> &'a mut [T] {
    if n == 0 {
        return &mut [];
    }
    // SAFETY: not null, aligned, not too long; the rest is the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(pointer, n) }
}

/// Stores the result or the index of the value at fault, and gives the status.
///
/// # Safety
/// `result` is valid for a write, and `bad_index` is, or null.
unsafe fn finish<R>(outcome: Result<R, Error>, result: *mut R, bad_index: *mut usize) -> Status {
    match outcome {
        Ok(value) => {
            // SAFETY: the caller's promise.
            unsafe { result.write(value) };
            SoftBceOk
        }
        Err(error) => {
            if let Error::TargetOutOfRange { index, .. }
            | Error::InvalidWeight { index, .. }
            | Error::InvalidRowWeight { row: index, .. }
            | Error::InvalidPosWeight { class: index, .. }
            | Error::ProbabilityOutOfRange { index, .. }
            | Error::FeatureOutOfScale { row: index, .. }
            | Error::InvalidCoefficient { index, .. }
            | Error::InvalidOffset { row: index, .. }
            | Error::InvalidLogit { row: index, .. }
            | Error::FactorOutOfScale { row: index, .. }
            | Error::ScaleMismatch { index }
            | Error::GroupOutOfRange { row: index, .. } = error
                && !bad_index.is_null()
            {
                // SAFETY: the caller's promise.
                unsafe { bad_index.write(index) };
            }
            error.into()
        }
    }
}

fn status(outcome: Result<(), Status>) -> Status {
    outcome.err().unwrap_or(SoftBceOk)
}

/// Which backend the number stands for; none for the automatic choice.
fn backend(number: u32) -> Result<Option<bce::Backend>, Status> {
    const NUMBERED: [(Backend, Option<bce::Backend>); 5] = [
        (Backend::SoftBceBackendAuto, None),
        (Backend::SoftBceBackendScalar, Some(bce::Backend::Scalar)),
        (Backend::SoftBceBackendWide, Some(bce::Backend::Wide)),
        (Backend::SoftBceBackendAvx2, Some(bce::Backend::Avx2)),
        (Backend::SoftBceBackendAvx512, Some(bce::Backend::Avx512)),
    ];
    let found = NUMBERED.iter().find(|(name, _)| *name as u32 == number);
    found
        .map(|(_, backend)| *backend)
        .ok_or(SoftBceInvalidOption)
}

/// An element type, and what not all of them offer.
trait Element: bce::Real {
    fn exact(bce: Bce<'_, Self>) -> Result<Bce<'_, Self>, Status>;
    /// What an error makes of an output.
    fn poison(output: &mut [Self]);
}

impl Element for f32 {
    fn exact(bce: Bce<'_, Self>) -> Result<Bce<'_, Self>, Status> {
        Ok(bce.exact())
    }
    fn poison(output: &mut [Self]) {
        output.fill(Self::NAN);
    }
}

impl Element for f64 {
    fn exact(_: Bce<'_, Self>) -> Result<Bce<'_, Self>, Status> {
        Err(SoftBceUnsupportedOptions)
    }
    fn poison(output: &mut [Self]) {
        output.fill(Self::NAN);
    }
}

/// The options of one element type, as C passes them.
trait Options: Copy {
    type Real: Element;
    /// Of elements, rows and classes, with the numbers of the last two.
    fn weights(&self) -> [(*const Self::Real, usize); 3];
    /// Of the loss that the flags name.
    fn bce<'a>(&self) -> Bce<'a, Self::Real>;
    fn apply<'a>(&self, bce: Bce<'a, Self::Real>) -> Result<Bce<'a, Self::Real>, Status>;
}

/// Memory of a call: the arrays, all of one length, and the places of the results.
struct Call<O: Options, R, const INPUTS: usize, const OUTPUTS: usize> {
    n: usize,
    inputs: [*const O::Real; INPUTS],
    options: *const O,
    outputs: [*mut O::Real; OUTPUTS],
    result: *mut R,
    bad_index: *mut usize,
    /// Whether the outputs are inputs too, which an error leaves as they were.
    in_place: bool,
}

impl<O: Options, R, const INPUTS: usize, const OUTPUTS: usize> Call<O, R, INPUTS, OUTPUTS> {
    /// Checks all pointers, makes slices of them, and runs the operation.
    ///
    /// # Safety
    /// Each pointer that passes the checks is valid for what the call reads or writes there.
    unsafe fn run(
        self,
        operation: impl FnOnce(
            Bce<'_, O::Real>,
            [&[O::Real]; INPUTS],
            [&mut [O::Real]; OUTPUTS],
        ) -> Result<R, Error>,
    ) -> Status {
        // SAFETY: the caller's promise.
        unsafe { self.try_run(operation) }.unwrap_or_else(|status| status)
    }

    /// # Safety
    /// As for `run`.
    unsafe fn try_run(
        self,
        operation: impl FnOnce(
            Bce<'_, O::Real>,
            [&[O::Real]; INPUTS],
            [&mut [O::Real]; OUTPUTS],
        ) -> Result<R, Error>,
    ) -> Result<Status, Status> {
        let Self {
            n,
            inputs,
            options,
            outputs,
            result,
            bad_index,
            in_place,
        } = self;

        let options_span = Span::input(options, usize::from(!options.is_null()))?;
        // SAFETY: null or aligned, and the caller's promise.
        let options = unsafe { options.as_ref() }.copied();
        let none = [(core::ptr::null(), 0); 3];
        let given = options.map_or(none, |options| options.weights());
        let [weights, row_weights, pos_weights] =
            given.map(|(weights, count)| (weights, if weights.is_null() { 0 } else { count }));
        let weights = (weights.0, if weights.0.is_null() { 0 } else { n });

        let mut spans = [options_span; 11];
        let own = [
            Span::input(weights.0, weights.1)?,
            Span::input(row_weights.0, row_weights.1)?,
            Span::input(pos_weights.0, pos_weights.1)?,
            Span::output(result, usize::from(size_of::<R>() > 0))?,
            Span::output(bad_index, usize::from(!bad_index.is_null()))?,
        ];
        let inputs_spans = inputs.map(|input| Span::input(input, n));
        let outputs_spans = outputs.map(|output| Span::output(output, n));
        let others = inputs_spans
            .into_iter()
            .chain(outputs_spans)
            .chain(own.map(Ok));
        for (place, span) in spans[1..].iter_mut().zip(others) {
            *place = span?;
        }
        check_apart(&spans)?;

        // SAFETY: checked above; inputs overlap no output.
        let inputs = inputs.map(|input| unsafe { slice(input, n) });
        // SAFETY: checked above; outputs overlap nothing.
        let outputs = outputs.map(|output| unsafe { slice_mut(output, n) });
        let mut bce = options.map_or(Bce::new(), |options| options.bce());
        // SAFETY: all checked above; no output overlaps them.
        unsafe {
            if !weights.0.is_null() {
                bce = bce.weights(slice(weights.0, weights.1));
            }
            if !row_weights.0.is_null() {
                bce = bce.row_weights(slice(row_weights.0, row_weights.1));
            }
            if !pos_weights.0.is_null() {
                bce = bce.pos_weights(slice(pos_weights.0, pos_weights.1));
            }
        }
        if let Some(options) = options {
            bce = match options.apply(bce) {
                Ok(bce) => bce,
                Err(status) => {
                    if !in_place {
                        outputs.into_iter().for_each(Element::poison);
                    }
                    return Err(status);
                }
            };
        }
        let outcome = operation(bce, inputs, outputs);
        // SAFETY: checked above; all slices are out of use.
        Ok(unsafe { finish(outcome, result, bad_index) })
    }
}

/// Where operations without a result write it.
const NOTHING: *mut () = core::ptr::dangling_mut();

macro_rules! operations {
    (
        $real:ident, $options:ident,
        $loss:ident $sum:ident $mean:ident $gradient:ident $gradient_in_place:ident
        $sum_gradient:ident $mean_gradient:ident $gradient_hessian:ident
        $sum_gradient_hessian:ident $loss_gradient:ident $loss_gradient_hessian:ident
        $accumulate:ident $accumulate_gradient:ident
        $accumulate_gradient_hessian:ident $add_slice:ident
        $sigmoid:ident $log_sigmoid:ident $softplus:ident $logit:ident
        $probability_loss:ident $probability_sum:ident $probability_mean:ident
        $probability_gradient:ident
    ) => {
        /// What is computed. A null pointer to the options, and options that are all zero, mean the
        /// plain loss.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $options {
            /// The weight of each element, finite and not negative, or null. Multiplies losses,
            /// gradients and Hessians; means divide by the total weight. A weight of 0 or -0 makes
            /// them 0, and neither logit nor target is looked at.
            pub weights: *const $real,
            /// Multiplies the -t ln s term by p, finite and greater than 0: the gradient is then
            /// w s - p t and the Hessian w s (1 - s), w = 1 - t + p t. 0 stands for 1.
            pub pos_weight: $real,
            /// Moves every target towards 1/2, before all else: t (1 - label_smoothing) +
            /// label_smoothing / 2. In [0, 1].
            pub label_smoothing: $real,
            /// 0, or some of SOFT_BCE_EXACT, SOFT_BCE_EXCESS and the other flags.
            pub flags: u32,
            /// A soft_bce_backend; 0, the fastest, unless you test or measure.
            pub backend: u32,
            /// Targets outside [0, 1] by at most this, finite and >= 0, count as 0 or 1.
            pub target_tolerance: $real,
            /// Logits, and those of SOFT_BCE_LOGIT_TARGETS, are divided by it, finite and greater
            /// than 0; gradients and Hessians are by the undivided logit. 0 stands for 1.
            pub temperature: $real,
            /// The exponent of SOFT_BCE_FOCAL, finite and >= 0.
            pub beta: $real,
            /// The weight of each row, or null: element i has row_weights[i / (n / row_count)], finite
            /// and not negative, which multiplies `weights`. A weight of 0 removes the row.
            pub row_weights: *const $real,
            /// How many there are; has to divide `n`.
            pub row_count: usize,
            /// The pos_weight of each class, or null: element i has pos_weights[i % class_count],
            /// finite and greater than 0. Excludes pos_weight.
            pub pos_weights: *const $real,
            /// How many there are; has to divide `n`.
            pub class_count: usize,
        }

        impl Options for $options {
            type Real = $real;

            fn weights(&self) -> [(*const $real, usize); 3] {
                [
                    (self.weights, 0),
                    (self.row_weights, self.row_count),
                    (self.pos_weights, self.class_count),
                ]
            }

            fn bce<'a>(&self) -> Bce<'a, $real> {
                if self.flags & SOFT_BCE_FOCAL != 0 {
                    *Focal::new(self.beta)
                } else if self.flags & SOFT_BCE_SQUARED_ERROR != 0 {
                    *SquaredError::new()
                } else {
                    Bce::new()
                }
            }

            fn apply<'a>(&self, mut bce: Bce<'a, $real>) -> Result<Bce<'a, $real>, Status> {
                if self.flags & !FLAGS != 0 {
                    return Err(SoftBceInvalidOption);
                }
                let losses = self.flags & (SOFT_BCE_SQUARED_ERROR | SOFT_BCE_FOCAL);
                if losses != 0 && losses != self.flags || losses.count_ones() > 1 {
                    return Err(SoftBceUnsupportedOptions);
                }
                if self.flags & SOFT_BCE_EXACT != 0 {
                    bce = Element::exact(bce)?;
                }
                if self.flags & SOFT_BCE_EXCESS != 0 {
                    bce = bce.excess();
                }
                if self.pos_weight != 0.0 {
                    bce = bce.pos_weight(self.pos_weight);
                }
                if self.label_smoothing != 0.0 {
                    bce = bce.label_smoothing(self.label_smoothing);
                }
                if self.flags & SOFT_BCE_LOGIT_TARGETS != 0 {
                    bce = bce.logit_targets();
                }
                if self.temperature != 0.0 {
                    bce = bce.temperature(self.temperature);
                }
                if self.target_tolerance != 0.0 {
                    bce = bce.target_tolerance(self.target_tolerance);
                }
                Ok(match backend(self.backend)? {
                    Some(backend) => bce.backend(backend)?,
                    None => bce,
                })
            }
        }

        /// Writes the loss of each element to `loss`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $loss(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            loss: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [loss],
                result: NOTHING,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], [loss]| bce.loss(z, t, loss)) }
        }

        /// Stores the sum of the losses: that of the values soft_bce_loss writes, rounded once.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sum(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            sum: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [],
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], []| bce.sum(z, t)) }
        }

        /// Stores the sum of the losses divided by `n`, or by the total weight. Of no elements, or
        /// of a total weight of 0, SOFT_BCE_EMPTY.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $mean(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            mean: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [],
                result: mean,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], []| bce.mean(z, t)) }
        }

        /// Writes the derivative of each loss by its logit to `gradient`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $gradient(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            gradient: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [gradient],
                result: NOTHING,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], [gradient]| bce.gradient(z, t, gradient)) }
        }

        /// Replaces each logit by the derivative of its loss. A call that fails changes nothing.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $gradient_in_place(
            z: *mut $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [t],
                options,
                outputs: [z],
                result: NOTHING,
                bad_index,
                in_place: true,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [t], [z]| bce.gradient_in_place(z, t)) }
        }

        /// soft_bce_sum and soft_bce_gradient in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sum_gradient(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            gradient: *mut $real,
            sum: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [gradient],
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], [gradient]| bce.sum_gradient(z, t, gradient)) }
        }

        /// soft_bce_mean, and its derivatives by the logits: divided as the mean is. Empty as there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $mean_gradient(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            gradient: *mut $real,
            mean: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [gradient],
                result: mean,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe { call.run(|bce, [z, t], [gradient]| bce.mean_gradient(z, t, gradient)) }
        }

        /// Writes the first and the second derivative of each loss by its logit.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $gradient_hessian(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            gradient: *mut $real,
            hessian: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let outputs = [gradient, hessian];
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs,
                result: NOTHING,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], [gradient, hessian]| {
                    bce.gradient_hessian(z, t, gradient, hessian)
                })
            }
        }

        /// soft_bce_sum and soft_bce_gradient_hessian in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sum_gradient_hessian(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            gradient: *mut $real,
            hessian: *mut $real,
            sum: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let outputs = [gradient, hessian];
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs,
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], [gradient, hessian]| {
                    bce.sum_gradient_hessian(z, t, gradient, hessian)
                })
            }
        }

        /// soft_bce_loss and soft_bce_gradient in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $loss_gradient(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            loss: *mut $real,
            gradient: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [loss, gradient],
                result: NOTHING,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], [loss, gradient]| bce.loss_gradient(z, t, loss, gradient))
            }
        }

        /// soft_bce_loss and soft_bce_gradient_hessian in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $loss_gradient_hessian(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            loss: *mut $real,
            gradient: *mut $real,
            hessian: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [loss, gradient, hessian],
                result: NOTHING,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], [loss, gradient, hessian]| {
                    bce.loss_gradient_hessian(z, t, loss, gradient, hessian)
                })
            }
        }

        /// Adds the loss of each element to `sum`, exactly. A call that fails adds none. `sum` must
        /// be initialised, else SOFT_BCE_MALFORMED_LOSS_SUM.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $accumulate(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            sum: *mut LossSum,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            let state = match unsafe { LossSum::read_or_malformed(sum) } {
                Ok(state) => state,
                Err(status) => return status,
            };
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [],
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], outputs| {
                    add(state, outputs, |sum, []| bce.accumulate(z, t, sum))
                })
            }
        }

        /// soft_bce_accumulate and soft_bce_gradient in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $accumulate_gradient(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            sum: *mut LossSum,
            gradient: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            let state = match unsafe { LossSum::read_or_malformed(sum) } {
                Ok(state) => state,
                Err(status) => return status,
            };
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [gradient],
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], outputs| {
                    add(state, outputs, |sum, [gradient]| {
                        bce.accumulate_gradient(z, t, sum, gradient)
                    })
                })
            }
        }

        /// soft_bce_accumulate and soft_bce_gradient_hessian in one pass.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $accumulate_gradient_hessian(
            z: *const $real,
            t: *const $real,
            n: usize,
            options: *const $options,
            sum: *mut LossSum,
            gradient: *mut $real,
            hessian: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            let state = match unsafe { LossSum::read_or_malformed(sum) } {
                Ok(state) => state,
                Err(status) => return status,
            };
            let call = Call {
                n,
                inputs: [z, t],
                options,
                outputs: [gradient, hessian],
                result: sum,
                bad_index,
                in_place: false,
            };
            // SAFETY: the caller's promise.
            unsafe {
                call.run(|bce, [z, t], outputs| {
                    add(state, outputs, |sum, [gradient, hessian]| {
                        bce.accumulate_gradient_hessian(z, t, sum, gradient, hessian)
                    })
                })
            }
        }

        /// Adds all `n` values to `sum`, exactly: as soft_bce_loss_sum_add for each, at the speed
        /// of a vector sum.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $add_slice(
            sum: *mut LossSum,
            values: *const $real,
            n: usize,
        ) -> Status {
            let apart =
                Span::output(sum, 1).and_then(|sum| check_apart(&[sum, Span::input(values, n)?]));
            // SAFETY: checked; the rest is the caller's promise.
            status(apart.and_then(|()| unsafe {
                LossSum::update(sum, |state| state.add_slice(slice(values, n)))
            }))
        }

        /// Writes -y ln p - (1 - y) ln(1 - p), where 0 ln 0 is 0: infinity at p = 0 if y > 0, and at p = 1
        /// if y < 1. A p that is NaN or outside [0, 1] is SOFT_BCE_PROBABILITY_OUT_OF_RANGE; `bad_index`
        /// has its index. Logits are better where there is a choice: a p next to 1 has lost them.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $probability_loss(
            y: *const $real,
            p: *const $real,
            n: usize,
            loss: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call = of_probabilities::<$options, _, 1>([y, p], n, [loss], NOTHING, bad_index);
            // SAFETY: the caller's promise.
            unsafe { call.run(|_, [y, p], [loss]| probability::loss(y, p, loss)) }
        }

        /// Stores the sum of what soft_bce_probability_loss writes, rounded once. Errors as there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $probability_sum(
            y: *const $real,
            p: *const $real,
            n: usize,
            sum: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = of_probabilities::<$options, _, 0>([y, p], n, [], sum, bad_index);
            // SAFETY: the caller's promise.
            unsafe { call.run(|_, [y, p], []| probability::sum(y, p)) }
        }

        /// Stores that sum divided by `n`. Errors as there, and SOFT_BCE_EMPTY.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $probability_mean(
            y: *const $real,
            p: *const $real,
            n: usize,
            mean: *mut f64,
            bad_index: *mut usize,
        ) -> Status {
            let call = of_probabilities::<$options, _, 0>([y, p], n, [], mean, bad_index);
            // SAFETY: the caller's promise.
            unsafe { call.run(|_, [y, p], []| probability::mean(y, p)) }
        }

        /// Writes the derivatives of soft_bce_probability_loss by p, (p - y) / (p (1 - p)). Errors as there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $probability_gradient(
            y: *const $real,
            p: *const $real,
            n: usize,
            gradient: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            let call =
                of_probabilities::<$options, _, 1>([y, p], n, [gradient], NOTHING, bad_index);
            // SAFETY: the caller's promise.
            unsafe { call.run(|_, [y, p], [gradient]| probability::gradient(y, p, gradient)) }
        }

        /// Writes 1 / (1 + exp(-z)).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sigmoid(z: *const $real, n: usize, p: *mut $real) -> Status {
            // SAFETY: the caller's promise.
            unsafe { elementwise::<$options>(z, n, p, core::ptr::null_mut(), bce::sigmoid) }
        }

        /// Writes ln(1 / (1 + exp(-z))).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $log_sigmoid(
            z: *const $real,
            n: usize,
            out: *mut $real,
        ) -> Status {
            // SAFETY: the caller's promise.
            unsafe { elementwise::<$options>(z, n, out, core::ptr::null_mut(), bce::log_sigmoid) }
        }

        /// Writes ln(1 + exp(z)).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $softplus(z: *const $real, n: usize, out: *mut $real) -> Status {
            // SAFETY: the caller's promise.
            unsafe { elementwise::<$options>(z, n, out, core::ptr::null_mut(), bce::softplus) }
        }

        /// Writes ln(p / (1 - p)), the inverse of soft_bce_sigmoid, for p in [0, 1]: -infinity at 0,
        /// infinity at 1. Another p is SOFT_BCE_TARGET_OUT_OF_RANGE.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $logit(
            p: *const $real,
            n: usize,
            z: *mut $real,
            bad_index: *mut usize,
        ) -> Status {
            // SAFETY: the caller's promise.
            unsafe { elementwise::<$options>(p, n, z, bad_index, bce::logit) }
        }
    };
}

/// Adds to the sum of a call. One that is malformed is an error after those of lengths and options,
/// which the operation alone finds, and before those of elements.
fn add<T: Element, const OUTPUTS: usize>(
    state: Option<bce::LossSum>,
    mut outputs: [&mut [T]; OUTPUTS],
    operation: impl FnOnce(&mut bce::LossSum, [&mut [T]; OUTPUTS]) -> Result<(), Error>,
) -> Result<LossSum, Error> {
    let is_malformed = state.is_none();
    let mut sum = state.unwrap_or_default();
    let outcome = operation(&mut sum, outputs.each_mut().map(|output| &mut **output));
    match outcome {
        Err(
            Error::LengthMismatch { .. }
            | Error::InvalidOption { .. }
            | Error::UnsupportedOptions { .. }
            | Error::InvalidRowWeight { .. }
            | Error::InvalidPosWeight { .. },
        ) => {}
        _ if is_malformed => {
            outputs.into_iter().for_each(Element::poison);
            return Err(Error::MalformedLossSum);
        }
        _ => {}
    }
    outcome.map(|()| sum.into())
}

/// A call without options.
fn of_probabilities<O: Options, R, const OUTPUTS: usize>(
    inputs: [*const O::Real; 2],
    n: usize,
    outputs: [*mut O::Real; OUTPUTS],
    result: *mut R,
    bad_index: *mut usize,
) -> Call<O, R, 2, OUTPUTS> {
    Call {
        n,
        inputs,
        options: core::ptr::null(),
        outputs,
        result,
        bad_index,
        in_place: false,
    }
}

type SliceFunction<T> = fn(&[T], &mut [T]) -> Result<(), Error>;

/// # Safety
/// As for `Call::run`.
unsafe fn elementwise<O: Options>(
    input: *const O::Real,
    n: usize,
    output: *mut O::Real,
    bad_index: *mut usize,
    operation: SliceFunction<O::Real>,
) -> Status {
    let call = Call::<O, _, 1, 1> {
        n,
        inputs: [input],
        options: core::ptr::null(),
        outputs: [output],
        result: NOTHING,
        bad_index,
        in_place: false,
    };
    // SAFETY: the caller's promise.
    unsafe { call.run(|_, [input], [output]| operation(input, output)) }
}

operations!(
    f32, OptionsF32,
    soft_bce_loss_f32 soft_bce_sum_f32 soft_bce_mean_f32 soft_bce_gradient_f32
    soft_bce_gradient_in_place_f32 soft_bce_sum_gradient_f32 soft_bce_mean_gradient_f32
    soft_bce_gradient_hessian_f32 soft_bce_sum_gradient_hessian_f32 soft_bce_loss_gradient_f32
    soft_bce_loss_gradient_hessian_f32 soft_bce_accumulate_f32
    soft_bce_accumulate_gradient_f32 soft_bce_accumulate_gradient_hessian_f32
    soft_bce_loss_sum_add_slice_f32
    soft_bce_sigmoid_f32 soft_bce_log_sigmoid_f32 soft_bce_softplus_f32 soft_bce_logit_f32
    soft_bce_probability_loss_f32 soft_bce_probability_sum_f32 soft_bce_probability_mean_f32
    soft_bce_probability_gradient_f32
);
operations!(
    f64, OptionsF64,
    soft_bce_loss_f64 soft_bce_sum_f64 soft_bce_mean_f64 soft_bce_gradient_f64
    soft_bce_gradient_in_place_f64 soft_bce_sum_gradient_f64 soft_bce_mean_gradient_f64
    soft_bce_gradient_hessian_f64 soft_bce_sum_gradient_hessian_f64 soft_bce_loss_gradient_f64
    soft_bce_loss_gradient_hessian_f64 soft_bce_accumulate_f64
    soft_bce_accumulate_gradient_f64 soft_bce_accumulate_gradient_hessian_f64
    soft_bce_loss_sum_add_slice_f64
    soft_bce_sigmoid_f64 soft_bce_log_sigmoid_f64 soft_bce_softplus_f64 soft_bce_logit_f64
    soft_bce_probability_loss_f64 soft_bce_probability_sum_f64 soft_bce_probability_mean_f64
    soft_bce_probability_gradient_f64
);

/// soft_bce_sigmoid_f32, each result rounded correctly.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_exact_sigmoid_f32(
    z: *const f32,
    n: usize,
    p: *mut f32,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { elementwise::<OptionsF32>(z, n, p, core::ptr::null_mut(), bce::exact::sigmoid) }
}

/// soft_bce_log_sigmoid_f32, each result rounded correctly.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_exact_log_sigmoid_f32(
    z: *const f32,
    n: usize,
    out: *mut f32,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { elementwise::<OptionsF32>(z, n, out, core::ptr::null_mut(), bce::exact::log_sigmoid) }
}

/// soft_bce_softplus_f32, each result rounded correctly.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_exact_softplus_f32(
    z: *const f32,
    n: usize,
    out: *mut f32,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { elementwise::<OptionsF32>(z, n, out, core::ptr::null_mut(), bce::exact::softplus) }
}

impl From<bce::LossSum> for LossSum {
    fn from(state: bce::LossSum) -> Self {
        Self {
            bytes: state.to_bytes(),
        }
    }
}

impl LossSum {
    /// # Safety
    /// The memory is valid for reads, if not null.
    unsafe fn read(sum: *const Self) -> Result<bce::LossSum, Status> {
        Span::input(sum, 1)?;
        // SAFETY: not null; bytes need no alignment; the rest is the caller's promise.
        let bytes = unsafe { &(*sum).bytes };
        Ok(bce::LossSum::from_bytes(bytes)?)
    }

    /// None if it is malformed: an error for after those of pointers and options.
    ///
    /// # Safety
    /// As for `read`.
    unsafe fn read_or_malformed(sum: *const Self) -> Result<Option<bce::LossSum>, Status> {
        // SAFETY: the caller's promise.
        match unsafe { Self::read(sum) } {
            Err(SoftBceMalformedLossSum) => Ok(None),
            read => read.map(Some),
        }
    }

    /// # Safety
    /// The memory is valid for reads and writes, if not null.
    unsafe fn update(sum: *mut Self, change: impl FnOnce(&mut bce::LossSum)) -> Result<(), Status> {
        // SAFETY: the caller's promise.
        let mut state = unsafe { Self::read(sum) }?;
        change(&mut state);
        // SAFETY: as above, for writes.
        unsafe {
            sum.write(Self {
                bytes: state.to_bytes(),
            })
        };
        Ok(())
    }
}

/// Makes `sum` the sum of nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_loss_sum_init(sum: *mut LossSum) -> Status {
    status(Span::output(sum, 1).map(|_| {
        // SAFETY: not null; the rest is the caller's promise.
        unsafe {
            sum.write(LossSum {
                bytes: bce::LossSum::new().to_bytes(),
            })
        }
    }))
}

/// Adds one value, exactly. NaN, or infinities of both signs, make the sum NaN for good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_loss_sum_add(sum: *mut LossSum, value: f64) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe { LossSum::update(sum, |state| state.add(value)) })
}

/// Adds to `sum` all that `other` has summed, exactly. The two may be the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_loss_sum_merge(
    sum: *mut LossSum,
    other: *const LossSum,
) -> Status {
    let apart = Span::output(sum, 1).and_then(|to| {
        let from = Span::input(other, 1)?;
        if sum.cast_const() == other {
            return Ok(());
        }
        check_apart(&[to, from])
    });
    // SAFETY: the caller's promise. `other` is copied before `sum` is written.
    status(apart.and_then(|()| unsafe {
        let other = LossSum::read(other)?;
        LossSum::update(sum, |state| state.merge(&other))
    }))
}

/// Stores how many values have been added; stops at 2^64 - 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_loss_sum_count(sum: *const LossSum, count: *mut u64) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe { store(sum, count, |state| state.count()) })
}

/// Stores the sum, correctly rounded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn soft_bce_loss_sum_value(sum: *const LossSum, value: *mut f64) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe { store(sum, value, |state| state.to_f64()) })
}

/// # Safety
/// Pointers that pass the checks are valid.
unsafe fn store<R>(
    sum: *const LossSum,
    result: *mut R,
    of: impl FnOnce(&bce::LossSum) -> R,
) -> Result<(), Status> {
    check_apart(&[Span::input(sum, 1)?, Span::output(result, 1)?])?;
    // SAFETY: checked above; the rest is the caller's promise.
    unsafe { result.write(of(&LossSum::read(sum)?)) };
    Ok(())
}

/// Says in English what a status means. Never null; static; any number is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn soft_bce_status_message(status: i32) -> *const c_char {
    const MESSAGES: [(Status, &CStr); 27] = [
        (SoftBceOk, c"success"),
        (SoftBceNullPointer, c"a pointer is null"),
        (SoftBceMisaligned, c"a pointer is not aligned for its type"),
        (
            SoftBceLengthOverflow,
            c"an array of this length does not fit the address space",
        ),
        (
            SoftBceOverlap,
            c"memory that is written overlaps other memory of the call",
        ),
        (
            SoftBceTargetOutOfRange,
            c"a target is NaN or outside [0, 1]",
        ),
        (
            SoftBceInvalidWeight,
            c"a weight is NaN, infinite or negative",
        ),
        (
            SoftBceInvalidOption,
            c"an option is unknown or out of range: pos_weight finite and > 0, label_smoothing in [0, 1], target_tolerance and beta finite and >= 0, temperature finite and > 0",
        ),
        (
            SoftBceUnsupportedOptions,
            c"the options exclude each other or do not exist for the type",
        ),
        (
            SoftBceEmpty,
            c"the mean of no elements or of a total weight of 0",
        ),
        (
            SoftBceBackendUnavailable,
            c"this machine cannot run the backend",
        ),
        (
            SoftBceMalformedLossSum,
            c"the loss sum is not initialised or damaged",
        ),
        (SoftBceInternalError, c"a fault of the library"),
        (
            SoftBceLengthMismatch,
            c"the number of row_weights or pos_weights does not divide that of the elements",
        ),
        (
            SoftBceInvalidRowWeight,
            c"a weight of a row is NaN, infinite or negative",
        ),
        (
            SoftBceInvalidPosWeight,
            c"the pos_weight of a class is NaN, infinite or not positive",
        ),
        (
            SoftBceProbabilityOutOfRange,
            c"a probability is NaN or outside [0, 1]",
        ),
        (
            SoftBceFeatureOutOfScale,
            c"a feature is NaN, infinite or beyond its column's scale",
        ),
        (
            SoftBceInvalidCoefficient,
            c"a coefficient is NaN or infinite",
        ),
        (SoftBceInvalidOffset, c"an offset is NaN or infinite"),
        (
            SoftBceInvalidLogit,
            c"a row's logit is beyond the range of the type",
        ),
        (
            SoftBceFactorOutOfScale,
            c"a residual or another factor is NaN or beyond its scale",
        ),
        (
            SoftBceScaleOutOfRange,
            c"a number has no scale, or a product of scales is beyond 2^959",
        ),
        (SoftBceScaleMismatch, c"the sums have different scales"),
        (
            SoftBceGroupOutOfRange,
            c"a group is not less than group_count",
        ),
        (SoftBceTooManyRows, c"more than 2^64 rows"),
        (
            SoftBceMalformedColumnSum,
            c"a column sum is not started or damaged",
        ),
    ];
    let found = MESSAGES.iter().find(|(known, _)| *known as i32 == status);
    found
        .map_or(c"unknown status", |(_, message)| message)
        .as_ptr()
}

/// The backend that SOFT_BCE_BACKEND_AUTO stands for on this machine.
#[unsafe(no_mangle)]
pub extern "C" fn soft_bce_detected_backend() -> Backend {
    match bce::Backend::detect() {
        bce::Backend::Wide => Backend::SoftBceBackendWide,
        bce::Backend::Avx2 => Backend::SoftBceBackendAvx2,
        bce::Backend::Avx512 => Backend::SoftBceBackendAvx512,
        _ => Backend::SoftBceBackendScalar,
    }
}

/// The version of the library, such as "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn soft_bce_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

#[cfg(all(not(feature = "std"), feature = "panic-handler"))]
#[panic_handler]
fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
