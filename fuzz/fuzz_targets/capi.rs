//! The C functions with whatever C may pass: the status that the header names, the bits of the Rust
//! call where that is success, and nothing written where it is not.
#![no_main]

mod capi_linear;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use soft_bce::{Backend, Bce, Error, probability};
use soft_bce_fuzz::capi::{self, LossSum, OptionsF32, OptionsF64, Status};
use soft_bce_fuzz::capi::{
    SOFT_BCE_EXACT as EXACT, SOFT_BCE_EXCESS as EXCESS, SOFT_BCE_FOCAL as FOCAL,
    SOFT_BCE_LOGIT_TARGETS as LOGIT_TARGETS, SOFT_BCE_SQUARED_ERROR as SQUARED_ERROR,
};
use soft_bce_fuzz::{
    Arrays, Elements, Function, Loss, Number, Operation, Options, Placed, Real, Settings, bits,
    bits_of, function, operation, teachers,
};
use std::ffi::CStr;
use std::ptr;

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    call: Call,
    fault: Option<Fault>,
    options: Option<(Settings, u8, u8)>,
    want_index: bool,
    /// Whether a call for a sum adds to one.
    accumulates: bool,
    /// Any number, in any place: perhaps no target.
    target: Option<(u16, Number)>,
    weight: Option<(u16, Number)>,
    elements: Elements,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Bce(#[arbitrary(with = operation)] Operation),
    Map(#[arbitrary(with = function)] Function),
    Sum(Vec<SumCall>),
    Probability(u8),
    Linear(capi_linear::Problem),
    Message(i32),
}

/// What is wrong with the memory of the call.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Fault {
    Null(u8),
    Misaligned(u8),
    Overlap(u8),
    Length(u8),
    /// One of the loss sum's bytes.
    Damage(u8),
}

#[derive(Arbitrary, Debug)]
enum SumCall {
    Init(u8),
    Add(u8, Number),
    AddSlice(u8, Vec<Number>),
    Merge(u8, u8),
    Damage(u8, u16, u8),
    Read(u8),
    Null,
}

/// One element type's structure and functions.
trait Interface: Real {
    type Options;
    fn options(of: &Options<Self>, weights: *const Self, flags: u32, backend: u32)
    -> Self::Options;
    /// Other addresses of the weights of rows and classes.
    fn weights_of_parts(options: &mut Self::Options) -> [&mut *const Self; 2];
    /// # Safety
    /// As the functions of the header; `written` are the outputs.
    unsafe fn call(
        operation: Operation,
        arrays: [*const Self; 2],
        n: usize,
        options: *const Self::Options,
        written: [*mut Self; 3],
        accumulates: bool,
        results: (*mut f64, *mut LossSum, *mut usize),
    ) -> Status;
    /// # Safety
    /// As the functions of the header.
    unsafe fn slice(
        function: Function,
        from: *const Self,
        n: usize,
        to: *mut Self,
        bad_index: *mut usize,
    ) -> Status;
    /// # Safety
    /// As the functions of the header.
    unsafe fn probability(
        function: u8,
        arrays: [*const Self; 2],
        n: usize,
        written: *mut Self,
        results: (*mut f64, *mut usize),
    ) -> Status;
}

macro_rules! interface {
    ($real:ident, $options:ident,
        $loss:ident $sum:ident $mean:ident $gradient:ident $gradient_in_place:ident
        $sum_gradient:ident $mean_gradient:ident $gradient_hessian:ident
        $sum_gradient_hessian:ident $accumulate:ident
        $accumulate_gradient:ident $accumulate_gradient_hessian:ident
        $loss_gradient:ident $loss_gradient_hessian:ident
        $sigmoid:ident $log_sigmoid:ident $softplus:ident $logit:ident
        $exact_sigmoid:ident $exact_log_sigmoid:ident $exact_softplus:ident
        $probability_loss:ident $probability_sum:ident $probability_mean:ident
        $probability_gradient:ident
    ) => {
        impl Interface for $real {
            type Options = $options;

            fn options(
                of: &Options<$real>,
                weights: *const $real,
                flags: u32,
                backend: u32,
            ) -> $options {
                let parts = |of: &Option<Vec<$real>>| {
                    of.as_ref()
                        .map_or((ptr::null(), 0), |of| (of.as_ptr(), of.len()))
                };
                let (row_weights, row_count) = parts(&of.row_weights);
                let (pos_weights, class_count) = parts(&of.pos_weights);
                $options {
                    weights,
                    pos_weight: of.pos_weight.unwrap_or(0.0),
                    label_smoothing: of.label_smoothing.unwrap_or(0.0),
                    flags,
                    backend,
                    target_tolerance: of.target_tolerance.unwrap_or(0.0),
                    temperature: of.temperature.unwrap_or(0.0),
                    beta: of.beta,
                    row_weights,
                    row_count,
                    pos_weights,
                    class_count,
                }
            }

            fn weights_of_parts(options: &mut $options) -> [&mut *const $real; 2] {
                [&mut options.row_weights, &mut options.pos_weights]
            }

            unsafe fn call(
                operation: Operation,
                [z, t]: [*const Self; 2],
                n: usize,
                options: *const $options,
                [first, second, third]: [*mut Self; 3],
                accumulates: bool,
                (number, sum, bad): (*mut f64, *mut LossSum, *mut usize),
            ) -> Status {
                // SAFETY: the caller's promise.
                unsafe {
                    match operation {
                        Operation::Loss => capi::$loss(z, t, n, options, first, bad),
                        Operation::Sum => capi::$sum(z, t, n, options, number, bad),
                        Operation::Mean => capi::$mean(z, t, n, options, number, bad),
                        Operation::Gradient => capi::$gradient(z, t, n, options, first, bad),
                        Operation::GradientInPlace => {
                            capi::$gradient_in_place(first, t, n, options, bad)
                        }
                        Operation::SumGradient if accumulates => {
                            capi::$accumulate_gradient(z, t, n, options, sum, first, bad)
                        }
                        Operation::SumGradientHessian if accumulates => {
                            capi::$accumulate_gradient_hessian(
                                z, t, n, options, sum, first, second, bad,
                            )
                        }
                        Operation::SumGradient => {
                            capi::$sum_gradient(z, t, n, options, first, number, bad)
                        }
                        Operation::MeanGradient => {
                            capi::$mean_gradient(z, t, n, options, first, number, bad)
                        }
                        Operation::GradientHessian => {
                            capi::$gradient_hessian(z, t, n, options, first, second, bad)
                        }
                        Operation::SumGradientHessian => capi::$sum_gradient_hessian(
                            z, t, n, options, first, second, number, bad,
                        ),
                        Operation::Accumulate => capi::$accumulate(z, t, n, options, sum, bad),
                        Operation::LossGradient => {
                            capi::$loss_gradient(z, t, n, options, first, second, bad)
                        }
                        Operation::LossGradientHessian => capi::$loss_gradient_hessian(
                            z, t, n, options, first, second, third, bad,
                        ),
                    }
                }
            }

            unsafe fn slice(
                function: Function,
                from: *const Self,
                n: usize,
                to: *mut Self,
                bad: *mut usize,
            ) -> Status {
                // SAFETY: the caller's promise.
                unsafe {
                    match function {
                        Function::Sigmoid => capi::$sigmoid(from, n, to),
                        Function::LogSigmoid => capi::$log_sigmoid(from, n, to),
                        Function::Softplus => capi::$softplus(from, n, to),
                        Function::Logit => capi::$logit(from, n, to, bad),
                        Function::ExactSigmoid => capi::$exact_sigmoid(from, n, to),
                        Function::ExactLogSigmoid => capi::$exact_log_sigmoid(from, n, to),
                        Function::ExactSoftplus => capi::$exact_softplus(from, n, to),
                    }
                }
            }

            unsafe fn probability(
                function: u8,
                [y, p]: [*const Self; 2],
                n: usize,
                to: *mut Self,
                (number, bad): (*mut f64, *mut usize),
            ) -> Status {
                // SAFETY: the caller's promise.
                unsafe {
                    match function {
                        0 => capi::$probability_loss(y, p, n, to, bad),
                        1 => capi::$probability_gradient(y, p, n, to, bad),
                        2 => capi::$probability_sum(y, p, n, number, bad),
                        _ => capi::$probability_mean(y, p, n, number, bad),
                    }
                }
            }
        }
    };
}

interface!(
    f32, OptionsF32,
    soft_bce_loss_f32 soft_bce_sum_f32 soft_bce_mean_f32 soft_bce_gradient_f32
    soft_bce_gradient_in_place_f32 soft_bce_sum_gradient_f32 soft_bce_mean_gradient_f32
    soft_bce_gradient_hessian_f32 soft_bce_sum_gradient_hessian_f32 soft_bce_accumulate_f32
    soft_bce_accumulate_gradient_f32 soft_bce_accumulate_gradient_hessian_f32
    soft_bce_loss_gradient_f32 soft_bce_loss_gradient_hessian_f32
    soft_bce_sigmoid_f32 soft_bce_log_sigmoid_f32 soft_bce_softplus_f32 soft_bce_logit_f32
    soft_bce_exact_sigmoid_f32 soft_bce_exact_log_sigmoid_f32 soft_bce_exact_softplus_f32
    soft_bce_probability_loss_f32 soft_bce_probability_sum_f32 soft_bce_probability_mean_f32
    soft_bce_probability_gradient_f32
);
interface!(
    f64, OptionsF64,
    soft_bce_loss_f64 soft_bce_sum_f64 soft_bce_mean_f64 soft_bce_gradient_f64
    soft_bce_gradient_in_place_f64 soft_bce_sum_gradient_f64 soft_bce_mean_gradient_f64
    soft_bce_gradient_hessian_f64 soft_bce_sum_gradient_hessian_f64 soft_bce_accumulate_f64
    soft_bce_accumulate_gradient_f64 soft_bce_accumulate_gradient_hessian_f64
    soft_bce_loss_gradient_f64 soft_bce_loss_gradient_hessian_f64
    soft_bce_sigmoid_f64 soft_bce_log_sigmoid_f64 soft_bce_softplus_f64 soft_bce_logit_f64
    soft_bce_sigmoid_f64 soft_bce_log_sigmoid_f64 soft_bce_softplus_f64
    soft_bce_probability_loss_f64 soft_bce_probability_sum_f64 soft_bce_probability_mean_f64
    soft_bce_probability_gradient_f64
);

/// The number in the header of what the Rust call returned, and the index it names.
fn status_of<T>(result: &Result<T, Error>) -> (Status, Option<usize>) {
    match *result {
        Ok(_) => (Status::SoftBceOk, None),
        Err(Error::TargetOutOfRange { index, .. }) => {
            (Status::SoftBceTargetOutOfRange, Some(index))
        }
        Err(Error::InvalidWeight { index, .. }) => (Status::SoftBceInvalidWeight, Some(index)),
        Err(Error::InvalidRowWeight { row, .. }) => (Status::SoftBceInvalidRowWeight, Some(row)),
        Err(Error::InvalidPosWeight { class, .. }) => {
            (Status::SoftBceInvalidPosWeight, Some(class))
        }
        Err(Error::ProbabilityOutOfRange { index, .. }) => {
            (Status::SoftBceProbabilityOutOfRange, Some(index))
        }
        Err(Error::LengthMismatch {
            argument: "row_weights" | "pos_weights" | "stride",
            ..
        }) => (Status::SoftBceLengthMismatch, None),
        Err(Error::FeatureOutOfScale { row, .. }) => (Status::SoftBceFeatureOutOfScale, Some(row)),
        Err(Error::InvalidCoefficient { index, .. }) => {
            (Status::SoftBceInvalidCoefficient, Some(index))
        }
        Err(Error::InvalidOffset { row, .. }) => (Status::SoftBceInvalidOffset, Some(row)),
        Err(Error::InvalidLogit { row, .. }) => (Status::SoftBceInvalidLogit, Some(row)),
        Err(Error::FactorOutOfScale { row, .. }) => (Status::SoftBceFactorOutOfScale, Some(row)),
        Err(Error::ScaleOutOfRange { .. }) => (Status::SoftBceScaleOutOfRange, None),
        Err(Error::ScaleMismatch { index }) => (Status::SoftBceScaleMismatch, Some(index)),
        Err(Error::GroupOutOfRange { row, .. }) => (Status::SoftBceGroupOutOfRange, Some(row)),
        Err(Error::TooManyRows) => (Status::SoftBceTooManyRows, None),
        Err(Error::MalformedColumnSum) => (Status::SoftBceMalformedColumnSum, None),
        Err(Error::InvalidOption { .. }) => (Status::SoftBceInvalidOption, None),
        Err(Error::UnsupportedOptions { .. }) => (Status::SoftBceUnsupportedOptions, None),
        Err(Error::Empty) => (Status::SoftBceEmpty, None),
        Err(Error::BackendUnavailable { .. }) => (Status::SoftBceBackendUnavailable, None),
        Err(Error::MalformedLossSum) => (Status::SoftBceMalformedLossSum, None),
        // C has one length for all other arrays.
        Err(error) => panic!("{error:?}"),
    }
}

/// Whether this is looked for before a loss sum's bytes.
fn is_before_states(status: Status) -> bool {
    matches!(
        status,
        Status::SoftBceInvalidOption
            | Status::SoftBceUnsupportedOptions
            | Status::SoftBceBackendUnavailable
            | Status::SoftBceLengthMismatch
            | Status::SoftBceInvalidRowWeight
            | Status::SoftBceInvalidPosWeight
    )
}

const NO_INDEX: usize = usize::MAX - 1;
const SEVEN: f64 = 7.0;

/// `pointer`, one byte on.
fn misaligned<T>(pointer: *const T) -> *const T {
    pointer.wrapping_byte_add(1)
}

fn placed_value<F: Real>(values: &mut [F], change: Option<(u16, Number)>) {
    if let Some((at, number)) = change
        && !values.is_empty()
    {
        let at = usize::from(at) % values.len();
        values[at] = number.value();
    }
}

/// Options as C passes them.
struct Chosen<F> {
    /// Those of the Rust call.
    options: Option<Options<F>>,
    flags: u32,
    backend: u32,
    /// What C alone refuses: flags and backends that there are not.
    refused: Option<Status>,
}

impl<F: Interface> Chosen<F> {
    fn new(given: Option<&(Settings, u8, u8)>, count: usize) -> Self {
        let mut options = given.map(|(settings, ..)| settings.options::<F>(count));
        let (flags, backend) = given.map_or((0, 0), |&(_, choice, backend)| {
            let flags = options.as_ref().map_or(0, flags_of);
            let others = match choice {
                0..200 => 0,
                200..250 => u32::from(choice % 32),
                _ => 32 << (count % 27),
            };
            (flags | others, u32::from(backend % 6))
        });
        if let Some(options) = &mut options {
            options.exact = flags & EXACT != 0;
            options.excess = flags & EXCESS != 0;
            options.logit_targets = flags & LOGIT_TARGETS != 0;
            options.loss = match flags & (SQUARED_ERROR | FOCAL) {
                SQUARED_ERROR => Loss::SquaredError,
                FOCAL => Loss::Focal,
                _ => Loss::CrossEntropy,
            };
            // 0 stands for the default, as the header says.
            for number in [
                &mut options.pos_weight,
                &mut options.label_smoothing,
                &mut options.target_tolerance,
                &mut options.temperature,
            ] {
                *number = number.filter(|number| number.to_f64() != 0.0);
            }
        }
        let losses = flags & (SQUARED_ERROR | FOCAL);
        let unsupported = losses != 0 && (losses != flags || losses == SQUARED_ERROR | FOCAL)
            || flags & EXACT != 0 && F::exact(Bce::new()).is_none();
        let refused = if flags >= 32 {
            Some(Status::SoftBceInvalidOption)
        } else if unsupported {
            Some(Status::SoftBceUnsupportedOptions)
        } else {
            (backend > 4).then_some(Status::SoftBceInvalidOption)
        };
        Self {
            options,
            flags,
            backend,
            refused,
        }
    }

    /// The Rust call with these options; unless it is refused.
    fn bce<'a>(
        &self,
        options: Option<&'a Options<F>>,
        weights: &'a [F],
    ) -> Result<Bce<'a, F>, Error> {
        let bce = options.map_or(Bce::new(), |options| options.bce(weights));
        let backends = [
            Backend::Scalar,
            Backend::Wide,
            Backend::Avx2,
            Backend::Avx512,
        ];
        match backends.get((self.backend as usize).wrapping_sub(1)) {
            Some(backend) => bce.backend(*backend),
            None => Ok(bce), // the default, or refused
        }
    }
}

fn check_bce<F: Interface>(input: &Input, operation: Operation) {
    let Arrays { z, mut t, mut w } = input.elements.arrays::<F>();
    placed_value(t.get_mut(), input.target);
    placed_value(w.get_mut(), input.weight);
    let in_place = operation == Operation::GradientInPlace;
    let accumulates = input.accumulates
        && matches!(
            operation,
            Operation::SumGradient | Operation::SumGradientHessian
        );
    let returns_number = operation.has_number() && !accumulates;
    let count = z.get().len();
    let fresh = || {
        let filler = Placed::new(&vec![F::from_f64(SEVEN); count], 3);
        [
            if in_place { z.clone() } else { filler.clone() },
            filler.clone(),
            filler,
        ]
    };

    // The Rust call.
    let chosen = Chosen::<F>::new(input.options.as_ref(), count);
    let options = chosen.options.as_ref();
    if options.is_some_and(|options| options.logit_targets) {
        let teachers = teachers(z.get(), t.get());
        t.get_mut().copy_from_slice(&teachers);
    }
    let mut expected_outputs = fresh();
    let mut expected_sum = soft_bce::LossSum::new();
    // What Rust refuses before there is a call to refuse.
    let poison = |outputs: &mut [Placed<F>; 3]| {
        for output in outputs
            .iter_mut()
            .take(if in_place { 0 } else { operation.outputs() })
        {
            output.get_mut().fill(F::from_f64(f64::NAN));
        }
    };
    let (mut expected, mut index, mut number) = if let Some(status) = chosen.refused {
        poison(&mut expected_outputs);
        (status, None, None)
    } else {
        let [first, second, third] = &mut expected_outputs;
        let configured = chosen.bce(options, w.get());
        let result = configured.and_then(|bce| {
            let outputs = [first.get_mut(), second.get_mut(), third.get_mut()];
            F::run(
                operation,
                &bce,
                z.get(),
                t.get(),
                outputs,
                &mut expected_sum,
            )
        });
        let (status, index) = status_of(&result);
        if status == Status::SoftBceBackendUnavailable {
            poison(&mut expected_outputs);
        }
        (status, index, result.ok())
    };

    let mut expected_sum = expected_sum.to_bytes();

    // The C call.
    let weights = match options {
        Some(options) if options.weighted => w.get().as_ptr(),
        _ => ptr::null(),
    };
    let none = Options::none();
    let options = options.unwrap_or(&none);
    let parts = [&options.row_weights, &options.pos_weights];
    let parts = parts.map(|of| of.as_ref().is_some_and(|of| !of.is_empty()));
    let mut c_options = F::options(options, weights, chosen.flags, chosen.backend);
    let mut outputs = fresh();
    let mut sum = LossSum {
        bytes: soft_bce::LossSum::new().to_bytes(),
    };
    let (mut result, mut bad_index) = (SEVEN, NO_INDEX);
    let [first, second, third] = &mut outputs;
    let mut arrays = [z.get().as_ptr(), t.get().as_ptr()];
    let mut written = [first, second, third].map(|output| output.get_mut().as_mut_ptr());
    let mut number_pointer: *mut f64 = &mut result;
    let mut sum_pointer: *mut LossSum = &mut sum;
    let mut index_pointer: *mut usize = &mut bad_index;
    if !input.want_index {
        index_pointer = ptr::null_mut();
    }
    let mut n = count;
    let mut misaligned_options = false;

    let (reads_z, outputs_used) = (!in_place, operation.outputs());
    let mut fault = None;
    match input.fault {
        None => {}
        Some(Fault::Null(which)) => match which % 6 {
            0 if reads_z && n > 0 => {
                arrays[0] = ptr::null();
                fault = Some(Status::SoftBceNullPointer);
            }
            1 if n > 0 => {
                arrays[1] = ptr::null();
                fault = Some(Status::SoftBceNullPointer);
            }
            2 if outputs_used > 0 && n > 0 => {
                written[0] = ptr::null_mut();
                fault = Some(Status::SoftBceNullPointer);
            }
            3 if outputs_used > 1 && n > 0 => {
                written[1] = ptr::null_mut();
                fault = Some(Status::SoftBceNullPointer);
            }
            4 if returns_number => {
                number_pointer = ptr::null_mut();
                fault = Some(Status::SoftBceNullPointer);
            }
            5 if operation == Operation::Accumulate || accumulates => {
                sum_pointer = ptr::null_mut();
                fault = Some(Status::SoftBceNullPointer);
            }
            5 if outputs_used > 2 && n > 0 => {
                written[2] = ptr::null_mut();
                fault = Some(Status::SoftBceNullPointer);
            }
            _ => {}
        },
        Some(Fault::Misaligned(which)) => match which % 8 {
            part @ 6.. if parts[usize::from(part - 6)] => {
                let pointer = &mut *F::weights_of_parts(&mut c_options)[usize::from(part - 6)];
                *pointer = misaligned(*pointer);
                fault = Some(Status::SoftBceMisaligned);
            }
            0 if reads_z && n > 0 => {
                arrays[0] = misaligned(arrays[0]);
                fault = Some(Status::SoftBceMisaligned);
            }
            1 if n > 0 => {
                arrays[1] = misaligned(arrays[1]);
                fault = Some(Status::SoftBceMisaligned);
            }
            2 if outputs_used > 0 && n > 0 => {
                written[0] = misaligned(written[0]).cast_mut();
                fault = Some(Status::SoftBceMisaligned);
            }
            3 if input.options.is_some() => {
                misaligned_options = true;
                fault = Some(Status::SoftBceMisaligned);
            }
            4 if returns_number => {
                number_pointer = misaligned(number_pointer).cast_mut();
                fault = Some(Status::SoftBceMisaligned);
            }
            5 if input.want_index => {
                index_pointer = misaligned(index_pointer).cast_mut();
                fault = Some(Status::SoftBceMisaligned);
            }
            _ => {}
        },
        Some(Fault::Overlap(which)) if outputs_used > 0 && n > 0 => {
            // An output over the targets: the last element of the one is the first of the other. Or over
            // the weights of rows or classes.
            let part = usize::from(which % 3);
            written[0] = if part < 2 && parts[part] {
                *F::weights_of_parts(&mut c_options)[part]
            } else {
                arrays[1].wrapping_add(n - 1)
            }
            .cast_mut();
            fault = Some(Status::SoftBceOverlap);
        }
        Some(Fault::Length(which)) => {
            n = [
                usize::MAX,
                usize::MAX / size_of::<F>(),
                isize::MAX as usize / size_of::<F>() + 1,
            ][usize::from(which % 3)];
            fault = Some(Status::SoftBceLengthOverflow);
        }
        Some(Fault::Damage(which)) if operation == Operation::Accumulate || accumulates => {
            // Of those that name the format.
            sum.bytes[usize::from(which % 4)] ^= 1 + which / 4;
            if !is_before_states(expected) {
                poison(&mut expected_outputs);
                (expected, index, number) = (Status::SoftBceMalformedLossSum, None, None);
            }
            expected_sum = sum.bytes;
        }
        Some(_) => {}
    }
    let mut options_pointer: *const F::Options = &c_options;
    if input.options.is_none() {
        options_pointer = ptr::null();
    } else if misaligned_options {
        options_pointer = misaligned(options_pointer);
    }
    // SAFETY: the pointers that are neither null nor misaligned are those of the arrays above, and
    // lengths beyond theirs are more than the address space holds, so that nothing is accessed.
    let status = unsafe {
        F::call(
            operation,
            arrays,
            n,
            options_pointer,
            written,
            accumulates,
            (number_pointer, sum_pointer, index_pointer),
        )
    };
    outputs.iter().for_each(Placed::assert_others_untouched);
    if let Some(fault) = fault {
        assert_eq!(status, fault);
        assert_eq!((result, bad_index), (SEVEN, NO_INDEX));
        for (output, before) in outputs.iter().zip(fresh()) {
            assert_eq!(bits(output.get()), bits(before.get()));
        }
        return;
    }
    assert_eq!(status, expected);
    assert_eq!(
        bad_index,
        index.filter(|_| input.want_index).unwrap_or(NO_INDEX)
    );
    if let Some(number) = number.filter(|_| accumulates) {
        let sum = soft_bce::LossSum::from_bytes(&sum.bytes).expect("a state");
        assert_eq!(
            (sum.count(), bits_of(sum.to_f64())),
            (n as u64, bits_of(number))
        );
    } else {
        assert_eq!(sum.bytes, expected_sum);
    }
    let number = number.filter(|_| returns_number);
    assert_eq!(bits_of(result), bits_of(number.unwrap_or(SEVEN)));
    for (output, expected) in outputs.iter().zip(&expected_outputs) {
        assert_eq!(bits(output.get()), bits(expected.get()));
    }
}

fn flags_of<F>(options: &Options<F>) -> u32 {
    let loss = match options.loss {
        Loss::CrossEntropy => 0,
        Loss::SquaredError => SQUARED_ERROR,
        Loss::Focal => FOCAL,
    };
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    loss | flag(options.exact, EXACT)
        | flag(options.excess, EXCESS)
        | flag(options.logit_targets, LOGIT_TARGETS)
}

fn check_probability<F: Interface>(input: &Input, function: u8) {
    let Arrays {
        mut t, w: mut y, ..
    } = input.elements.arrays::<F>();
    for y in y.get_mut() {
        *y = F::from_f64(y.to_f64().min(1.0));
    }
    placed_value(t.get_mut(), input.target);
    placed_value(y.get_mut(), input.weight);
    let (y, p) = (y.get(), t.get());
    let fresh = || Placed::new(&vec![F::from_f64(SEVEN); p.len()], 5);
    let (mut expected, mut out) = (fresh(), fresh());
    let result = match function % 4 {
        0 => probability::loss(y, p, expected.get_mut()).map(|()| SEVEN),
        1 => probability::gradient(y, p, expected.get_mut()).map(|()| SEVEN),
        2 => probability::sum(y, p),
        _ => probability::mean(y, p),
    };
    let (mut number, mut bad_index) = (SEVEN, NO_INDEX);
    let arrays = [y.as_ptr(), p.as_ptr()];
    let results: (*mut f64, *mut usize) = (&mut number, &mut bad_index);
    let written = out.get_mut().as_mut_ptr();
    // SAFETY: the pointers are those of the arrays above.
    let status = unsafe { F::probability(function % 4, arrays, p.len(), written, results) };
    out.assert_others_untouched();
    let (expected_status, index) = status_of(&result);
    assert_eq!(status, expected_status);
    assert_eq!(bad_index, index.unwrap_or(NO_INDEX));
    assert_eq!(bits_of(number), bits_of(result.unwrap_or(SEVEN)));
    assert_eq!(bits(out.get()), bits(expected.get()));
}

fn check_slice<F: Interface>(input: &Input, function: Function) {
    // Of double C has no exact functions.
    let function = match function {
        function if F::exact(Bce::new()).is_some() => function,
        Function::ExactSigmoid => Function::Sigmoid,
        Function::ExactLogSigmoid => Function::LogSigmoid,
        Function::ExactSoftplus => Function::Softplus,
        function => function,
    };
    let Arrays { z, mut t, .. } = input.elements.arrays::<F>();
    placed_value(t.get_mut(), input.target);
    let from = if function == Function::Logit { t } else { z };
    let count = from.get().len();
    let fresh = || Placed::new(&vec![F::from_f64(SEVEN); count], 5);
    let (mut expected, mut out) = (fresh(), fresh());
    let (mut status, index) = status_of(
        &F::map(function, from.get(), expected.get_mut()).expect("a function of the type"),
    );
    let (mut reads, mut writes) = (from.get().as_ptr(), out.get_mut().as_mut_ptr());
    let mut n = count;
    let mut bad_index = NO_INDEX;
    let mut failed = true;
    match input.fault {
        Some(Fault::Null(which)) if n > 0 => {
            status = Status::SoftBceNullPointer;
            if which % 2 == 0 {
                reads = ptr::null();
            } else {
                writes = ptr::null_mut();
            }
        }
        Some(Fault::Misaligned(which)) if n > 0 => {
            status = Status::SoftBceMisaligned;
            if which % 2 == 0 {
                reads = misaligned(reads);
            } else {
                writes = misaligned(writes).cast_mut();
            }
        }
        Some(Fault::Overlap(_)) if n > 0 => {
            status = Status::SoftBceOverlap;
            writes = reads.cast_mut();
        }
        Some(Fault::Length(_)) => {
            status = Status::SoftBceLengthOverflow;
            n = usize::MAX;
        }
        _ => failed = false,
    }
    // SAFETY: as in `check_bce`.
    let returned = unsafe { F::slice(function, reads, n, writes, &mut bad_index) };
    assert_eq!(returned, status);
    out.assert_others_untouched();
    if failed {
        assert_eq!(bad_index, NO_INDEX);
        assert_eq!(bits(out.get()), bits(fresh().get()));
    } else {
        assert_eq!(bad_index, index.unwrap_or(NO_INDEX));
        assert_eq!(bits(out.get()), bits(expected.get()));
    }
}

/// The functions on sums, beside `soft_bce::LossSum`.
fn check_sums(calls: &[SumCall]) {
    const COUNT: usize = 3;
    let mut sums = [const {
        LossSum {
            bytes: [0; capi::SOFT_BCE_LOSS_SUM_BYTES],
        }
    }; COUNT];
    let place = |which: u8| usize::from(which) % COUNT;
    for call in calls {
        let models = sums
            .each_ref()
            .map(|sum| soft_bce::LossSum::from_bytes(&sum.bytes));
        let model = |which| models[place(which)].clone();
        // SAFETY, for all calls: the pointers are null or those of places that exist.
        match *call {
            SumCall::Init(which) => {
                let status = unsafe { capi::soft_bce_loss_sum_init(&mut sums[place(which)]) };
                assert_eq!(status, Status::SoftBceOk);
                let empty = soft_bce::LossSum::new().to_bytes();
                assert_eq!(sums[place(which)].bytes, empty);
            }
            SumCall::Add(which, number) => {
                let value: f64 = number.value();
                let before = sums[place(which)].bytes;
                let status = unsafe { capi::soft_bce_loss_sum_add(&mut sums[place(which)], value) };
                let expected = model(which).map(|mut sum| {
                    sum.add(value);
                    sum.to_bytes()
                });
                assert_eq!(status, status_of(&expected).0);
                assert_eq!(sums[place(which)].bytes, expected.unwrap_or(before));
            }
            SumCall::AddSlice(which, ref numbers) => {
                let values: Vec<f64> = numbers.iter().map(|number| number.value()).collect();
                let before = sums[place(which)].bytes;
                let (sum, n) = (&mut sums[place(which)], values.len());
                let status =
                    unsafe { capi::soft_bce_loss_sum_add_slice_f64(sum, values.as_ptr(), n) };
                let expected = model(which).map(|mut sum| {
                    values.iter().for_each(|&value| sum.add(value));
                    sum.to_bytes()
                });
                assert_eq!(status, status_of(&expected).0);
                assert_eq!(sums[place(which)].bytes, expected.unwrap_or(before));
            }
            SumCall::Merge(to, from) => {
                let before = sums[place(to)].bytes;
                let base = sums.as_mut_ptr();
                // SAFETY: both places are in the array.
                let status = unsafe {
                    capi::soft_bce_loss_sum_merge(base.add(place(to)), base.add(place(from)))
                };
                let expected = model(from).and_then(|from| {
                    let mut sum = model(to)?;
                    sum.merge(&from);
                    Ok(sum.to_bytes())
                });
                assert_eq!(status, status_of(&expected).0);
                assert_eq!(sums[place(to)].bytes, expected.unwrap_or(before));
            }
            SumCall::Damage(which, at, flip) => {
                sums[place(which)].bytes[usize::from(at) % capi::SOFT_BCE_LOSS_SUM_BYTES] ^= flip;
            }
            SumCall::Read(which) => {
                let sum = &sums[place(which)];
                let (mut count, mut value) = (u64::MAX - 1, SEVEN);
                let (counted, read) = unsafe {
                    (
                        capi::soft_bce_loss_sum_count(sum, &mut count),
                        capi::soft_bce_loss_sum_value(sum, &mut value),
                    )
                };
                let (status, _) = status_of(&model(which));
                assert_eq!((counted, read), (status, status));
                // Whatever the bytes.
                let nowhere = unsafe {
                    [
                        capi::soft_bce_loss_sum_count(sum, ptr::null_mut()),
                        capi::soft_bce_loss_sum_value(sum, ptr::null_mut()),
                        capi::soft_bce_loss_sum_merge(ptr::null_mut(), sum),
                    ]
                };
                assert_eq!(nowhere, [Status::SoftBceNullPointer; 3]);
                let expected =
                    model(which).map_or((u64::MAX - 1, SEVEN), |sum| (sum.count(), sum.to_f64()));
                assert_eq!((count, bits_of(value)), (expected.0, bits_of(expected.1)));
            }
            SumCall::Null => {
                let (mut count, mut value) = (0, 0.0);
                let all = unsafe {
                    [
                        capi::soft_bce_loss_sum_init(ptr::null_mut()),
                        capi::soft_bce_loss_sum_add(ptr::null_mut(), 1.0),
                        capi::soft_bce_loss_sum_merge(ptr::null_mut(), ptr::null()),
                        capi::soft_bce_loss_sum_count(ptr::null(), &mut count),
                        capi::soft_bce_loss_sum_value(ptr::null(), &mut value),
                    ]
                };
                assert_eq!(all, [Status::SoftBceNullPointer; 5]);
            }
        }
    }
}

fn check<F: capi_linear::Heads>(input: &Input) {
    match &input.call {
        Call::Bce(operation) => check_bce::<F>(input, *operation),
        Call::Sum(calls) => check_sums(calls),
        Call::Linear(problem) => capi_linear::check::<F>(problem),
        Call::Probability(function) => check_probability::<F>(input, *function),
        Call::Message(status) => {
            // SAFETY: the header says: never null, static, ends with 0.
            let message = unsafe { CStr::from_ptr(capi::soft_bce_status_message(*status)) };
            let known = (0..=Status::SoftBceMalformedColumnSum as i32).contains(status);
            assert_eq!(message != c"unknown status", known);
        }
        Call::Map(function) => check_slice::<F>(input, *function),
    }
}

fuzz_target!(|input: Input| {
    if input.double {
        check::<f64>(&input);
    } else {
        check::<f32>(&input);
    }
});
