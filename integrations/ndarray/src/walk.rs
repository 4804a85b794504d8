//! The walk over arrays of one shape and any layouts: pairs of slices, block by block.

use std::mem;

use ndarray::iter::{LanesIter, LanesIterMut};
use ndarray::{
    ArrayView1, ArrayViewD, ArrayViewMut1, ArrayViewMutD, Axis, Dimension, IxDyn, LayoutRef,
    NdFloat,
};

use crate::Error;

/// Elements that pass through the stack at a time.
const BLOCK: usize = 512;
/// Lanes from this length on go to the kernel as they are. Shorter ones are gathered into blocks,
/// since a call costs as much as tens of elements.
const LONG_LANE: usize = 128;

/// Up to three inputs and three outputs, all of one shape.
pub(crate) struct Arrays<'a, T> {
    pub(crate) inputs: [Option<ArrayViewD<'a, T>>; 3],
    pub(crate) outputs: [Option<ArrayViewMutD<'a, T>>; 3],
}

/// What the arrays are to the kernel.
pub(crate) type Slices<'s, T> = ([&'s [T]; 3], [&'s mut [T]; 3]);

/// What happens to a block. The slices of absent arrays are empty.
pub(crate) type Job<'j, T> =
    dyn FnMut([&[T]; 3], [&mut [T]; 3]) -> Result<(), soft_bce::Error> + 'j;

impl<T: NdFloat> Arrays<'_, T> {
    pub(crate) fn shape(&self) -> &[usize] {
        self.layouts().next().map_or(&[], |layout| layout.shape())
    }

    pub(crate) fn check_shapes(&self) -> Result<(), Error> {
        let names = ["logits", "targets", "weights"]
            .into_iter()
            .zip(&self.inputs);
        let names = names.filter_map(|(name, array)| array.as_ref().map(|_| name));
        let names = names.chain(["an output"].into_iter().cycle());
        match names
            .zip(self.layouts())
            .find(|(_, layout)| layout.shape() != self.shape())
        {
            None => Ok(()),
            Some((argument, layout)) => Err(Error::Shape {
                argument,
                expected: self.shape().to_vec(),
                found: layout.shape().to_vec(),
            }),
        }
    }

    /// Gives arrays without axes one.
    pub(crate) fn normalised(mut self) -> Self {
        if self.shape().is_empty() {
            self.each_layout(|layout| layout.insert_axis_inplace(Axis(0)));
        }
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether all are row-major without gaps, this axis is the last, and there are elements.
    pub(crate) fn are_rows(&self, axis: Axis) -> bool {
        let row_major = |inputs: &[_], outputs: &[_]| -> bool {
            inputs.iter().flatten().all(ArrayViewD::is_standard_layout)
                && outputs
                    .iter()
                    .flatten()
                    .all(ArrayViewMutD::is_standard_layout)
        };
        axis.index() + 1 == self.shape().len()
            && self.len() > 0
            && row_major(&self.inputs, &self.outputs)
    }

    fn layouts(&self) -> impl Iterator<Item = &LayoutRef<T, IxDyn>> {
        let inputs = self.inputs.iter().flatten().map(AsRef::as_ref);
        inputs.chain(self.outputs.iter().flatten().map(AsRef::as_ref))
    }

    fn each_layout(&mut self, change: impl Fn(&mut LayoutRef<T, IxDyn>)) {
        self.inputs
            .iter_mut()
            .flatten()
            .for_each(|array| change(array.as_mut()));
        self.outputs
            .iter_mut()
            .flatten()
            .for_each(|array| change(array.as_mut()));
    }

    pub(crate) fn fill_outputs(&mut self, value: T) {
        self.outputs
            .iter_mut()
            .flatten()
            .for_each(|array| array.fill(value));
    }

    pub(crate) fn reborrow(&mut self) -> Arrays<'_, T> {
        Arrays {
            inputs: self
                .inputs
                .each_ref()
                .map(|array| array.as_ref().map(|array| array.view())),
            outputs: self
                .outputs
                .each_mut()
                .map(|array| array.as_mut().map(|array| array.view_mut())),
        }
    }

    /// The elements at one index along an axis.
    pub(crate) fn at(&mut self, axis: Axis, index: usize) -> Arrays<'_, T> {
        let mut arrays = self.reborrow();
        for array in arrays.inputs.iter_mut().flatten() {
            array.index_axis_inplace(axis, index);
        }
        for array in arrays.outputs.iter_mut().flatten() {
            array.index_axis_inplace(axis, index);
        }
        arrays
    }

    /// Halves of the longest axis; nothing where no axis has two elements.
    #[cfg(feature = "rayon")]
    pub(crate) fn halves(&mut self) -> Option<(Arrays<'_, T>, Arrays<'_, T>)> {
        let (axis, &length) = self
            .shape()
            .iter()
            .enumerate()
            .max_by_key(|&(_, length)| length)?;
        let (axis, at) = (Axis(axis), length / 2);
        let Arrays { inputs, outputs } = self.reborrow();
        let [a, b, c] = inputs.map(|array| array.map(|array| array.split_at(axis, at)).unzip());
        let [x, y, z] = outputs.map(|array| array.map(|array| array.split_at(axis, at)).unzip());
        (at > 0).then_some((
            Arrays {
                inputs: [a.0, b.0, c.0],
                outputs: [x.0, y.0, z.0],
            },
            Arrays {
                inputs: [a.1, b.1, c.1],
                outputs: [x.1, y.1, z.1],
            },
        ))
    }

    /// Reverses, sorts and merges the axes of all arrays alike: the last axis becomes as long and
    /// as dense as it can. Arrays that are contiguous in one order, whichever, become one lane.
    pub(crate) fn straighten(&mut self) {
        for axis in 0..self.shape().len() {
            let mut strides = self.strides(axis);
            if strides.next().is_some_and(|first| first < 0) && strides.all(|stride| stride <= 0) {
                drop(strides);
                self.each_layout(|layout| layout.invert_axis(Axis(axis)));
            }
        }
        let last = self.shape().len() - 1;
        for place in (1..=last).rev() {
            let total = |axis| {
                self.strides(axis)
                    .map(isize::unsigned_abs)
                    .fold(0, usize::saturating_add)
            };
            let densest = (0..=place)
                .rev()
                .min_by_key(|&axis| total(axis))
                .unwrap_or(place);
            self.each_layout(|layout| layout.swap_axes(densest, place));
        }
        for axis in (0..last).rev() {
            let (outer, inner) = (self.shape()[axis], self.shape()[last]);
            let mut pairs = self.strides(axis).zip(self.strides(last));
            if outer <= 1 || inner <= 1 || pairs.all(|(far, near)| far == inner as isize * near) {
                drop(pairs);
                self.each_layout(|layout| _ = layout.merge_axes(Axis(axis), Axis(last)));
            }
        }
    }

    fn strides(&self, axis: usize) -> impl Iterator<Item = isize> {
        self.layouts().map(move |layout| layout.strides()[axis])
    }

    /// Replaces the gradient's array, which holds logits, by what the job makes of them. Arrays are to be
    /// [straightened](Self::straighten) before.
    pub(crate) fn each_block_in_place(
        &mut self,
        job: &mut Job<'_, T>,
    ) -> Result<(), soft_bce::Error> {
        let last = Axis(self.shape().len() - 1);
        let [_, t, w] = self
            .inputs
            .each_ref()
            .map(|array| Source::new(array.as_ref(), last));
        let [_, Some(logits), _] = &mut self.outputs else {
            return Ok(());
        };
        let (mut t, mut w) = (t, w);
        let mut stack = [[T::zero(); BLOCK]; 4];
        let [from_z, from_t, from_w, to] = &mut stack;
        for mut lane in logits.lanes_mut(last) {
            for mut block in lane.axis_chunks_iter_mut(Axis(0), BLOCK) {
                let count = block.len();
                for (to, from) in from_z.iter_mut().zip(&block) {
                    *to = *from;
                }
                let inputs = [
                    &from_z[..count],
                    t.take(count, from_t),
                    w.take(count, from_w),
                ];
                job(inputs, [&mut [], &mut to[..count], &mut []])?;
                for (to, from) in block.iter_mut().zip(&*to) {
                    *to = *from;
                }
            }
        }
        Ok(())
    }

    /// The whole arrays as slices, where they are [straightened](Self::straighten) and contiguous.
    pub(crate) fn as_slices(&mut self) -> Option<Slices<'_, T>> {
        let lane = self.shape().last().copied().unwrap_or(0);
        if lane != self.len() || self.layouts().any(|layout| !dense(layout)) {
            return None;
        }
        let inputs = self.inputs.each_ref().map(|array| {
            array
                .as_ref()
                .and_then(|array| array.as_slice_memory_order())
                .unwrap_or(&[])
        });
        let outputs = self.outputs.each_mut().map(|array| {
            array
                .as_mut()
                .and_then(|array| array.as_slice_memory_order_mut())
                .unwrap_or(&mut [])
        });
        Some((inputs, outputs))
    }

    /// Runs the job over all elements, lane by lane along the last axis: on the arrays' own
    /// memory where it is contiguous, through the stack otherwise. Once where there is no element.
    pub(crate) fn each_block(&mut self, job: &mut Job<'_, T>) -> Result<(), soft_bce::Error> {
        if let Some((inputs, outputs)) = self.as_slices() {
            return job(inputs, outputs);
        }
        let mut left = self.len();
        if left == 0 {
            return job([&[]; 3], [&mut [], &mut [], &mut []]);
        }
        let lane = self.shape().last().copied().unwrap_or(0);
        let block = if lane >= LONG_LANE && self.layouts().all(dense) {
            lane
        } else {
            BLOCK
        };
        let last = Axis(self.shape().len() - 1);
        let [mut a, mut b, mut c] = self
            .inputs
            .each_ref()
            .map(|array| Source::new(array.as_ref(), last));
        let [mut x, mut y, mut z] = self
            .outputs
            .each_mut()
            .map(|array| Sink::new(array.as_mut(), last));
        let mut stack = [[T::zero(); BLOCK]; 6];
        let [from_a, from_b, from_c, to_x, to_y, to_z] = &mut stack;
        while left > 0 {
            let count = block.min(left);
            job(
                [
                    a.take(count, from_a),
                    b.take(count, from_b),
                    c.take(count, from_c),
                ],
                [
                    x.take(count, to_x),
                    y.take(count, to_y),
                    z.take(count, to_z),
                ],
            )?;
            x.store(count, to_x);
            y.store(count, to_y);
            z.store(count, to_z);
            left -= count;
        }
        Ok(())
    }
}

/// Whether the last axis runs through memory without gaps.
fn dense<T, D: Dimension>(layout: &LayoutRef<T, D>) -> bool {
    layout.shape().last().is_some_and(|&length| length <= 1) || layout.strides().last() == Some(&1)
}

/// Reads an array, if there is one, in the order of its lanes.
struct Source<'a, T> {
    rest: ArrayView1<'a, T>,
    lanes: Option<LanesIter<'a, T, IxDyn>>,
}

impl<'a, T: NdFloat> Source<'a, T> {
    fn new(array: Option<&'a ArrayViewD<'_, T>>, axis: Axis) -> Self {
        let (rest, lanes) = (
            (&[]).into(),
            array.map(|array| array.lanes(axis).into_iter()),
        );
        Self { rest, lanes }
    }

    /// The next elements, copied to the stack unless they lie side by side.
    fn take<'b>(&mut self, count: usize, stack: &'b mut [T]) -> &'b [T]
    where
        'a: 'b,
    {
        let mut filled = 0;
        while filled < count {
            if self.rest.is_empty() {
                let Some(lane) = self.lanes.as_mut().and_then(Iterator::next) else {
                    break;
                };
                self.rest = lane;
            }
            let (piece, rest) = self
                .rest
                .split_at(Axis(0), self.rest.len().min(count - filled));
            self.rest = rest;
            if piece.len() == count
                && let Some(slice) = piece.to_slice()
            {
                return slice;
            }
            for (to, from) in stack[filled..].iter_mut().zip(&piece) {
                *to = *from;
            }
            filled += piece.len();
        }
        &stack[..filled]
    }
}

/// Writes an array, if there is one, in the order of its lanes.
struct Sink<'a, T> {
    rest: ArrayViewMut1<'a, T>,
    lanes: Option<LanesIterMut<'a, T, IxDyn>>,
    /// Whether the block last taken is on the stack.
    stacked: bool,
}

impl<'a, T: NdFloat> Sink<'a, T> {
    fn new(array: Option<&'a mut ArrayViewMutD<'_, T>>, axis: Axis) -> Self {
        let (rest, lanes) = (
            (&mut []).into(),
            array.map(|array| array.lanes_mut(axis).into_iter()),
        );
        Self {
            rest,
            lanes,
            stacked: false,
        }
    }

    fn next_piece(&mut self, most: usize) -> Option<ArrayViewMut1<'a, T>> {
        let mut rest = mem::replace(&mut self.rest, (&mut []).into());
        if rest.is_empty() {
            rest = self.lanes.as_mut().and_then(Iterator::next)?;
        }
        let at = rest.len().min(most);
        let (piece, rest) = rest.split_at(Axis(0), at);
        self.rest = rest;
        Some(piece)
    }

    /// Where the next elements go: their own place if they lie side by side, else the stack.
    fn take<'b>(&mut self, count: usize, stack: &'b mut [T]) -> &'b mut [T]
    where
        'a: 'b,
    {
        if self.rest.is_empty()
            && let Some(lane) = self.lanes.as_mut().and_then(Iterator::next)
        {
            self.rest = lane;
        }
        self.stacked =
            self.lanes.is_some() && (self.rest.len() < count || !dense(self.rest.as_ref()));
        if self.stacked {
            return &mut stack[..count];
        }
        self.next_piece(count)
            .and_then(ArrayViewMut1::into_slice)
            .unwrap_or_default()
    }

    /// Moves what [`take`](Self::take) put on the stack to its place.
    fn store(&mut self, count: usize, stack: &[T]) {
        let mut stored = 0;
        while self.stacked
            && stored < count
            && let Some(mut piece) = self.next_piece(count - stored)
        {
            for (to, from) in piece.iter_mut().zip(&stack[stored..]) {
                *to = *from;
            }
            stored += piece.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ArrayView3, ArrayViewMut3, s};

    use super::*;

    /// The lengths of the blocks that views of three arrays of 200 x 3 x 150 make, and how many of
    /// their slices are the arrays' own memory.
    fn blocks(
        z: impl Fn(&Array3<f32>) -> ArrayView3<'_, f32>,
        t: impl Fn(&Array3<f32>) -> ArrayView3<'_, f32>,
        out: impl Fn(&mut Array3<f32>) -> ArrayViewMut3<'_, f32>,
    ) -> (Vec<usize>, usize) {
        let mut memory = [0; 3].map(|_| Array3::<f32>::zeros((200, 3, 150)));
        let ranges = memory
            .each_ref()
            .map(|array| array.as_slice().unwrap().as_ptr_range());
        let [a, b, c] = &mut memory;
        let mut arrays = Arrays {
            inputs: [Some(z(a).into_dyn()), Some(t(b).into_dyn()), None],
            outputs: [Some(out(c).into_dyn()), None, None],
        };
        arrays.straighten();
        let (mut lengths, mut own) = (Vec::new(), 0);
        arrays
            .each_block(&mut |[z, t, _], [out, _, _]| {
                lengths.push(z.len());
                let slices = ranges.iter().zip([z, t, out]);
                own += slices
                    .filter(|(range, slice)| range.contains(&slice.as_ptr()))
                    .count();
                Ok(())
            })
            .unwrap();
        (lengths, own)
    }

    #[test]
    fn contiguous_alike_is_not_copied() {
        assert_eq!(
            blocks(|z| z.view(), |t| t.view(), |out| out.view_mut()),
            (vec![90_000], 3)
        );
        let columns = blocks(|z| z.t(), |t| t.t(), |out| out.view_mut().reversed_axes());
        assert_eq!(columns, (vec![90_000], 3));
        let order = [1, 2, 0];
        let permuted = blocks(
            |z| z.view().permuted_axes(order),
            |t| t.view().permuted_axes(order),
            |out| out.view_mut().permuted_axes(order),
        );
        assert_eq!(permuted, (vec![90_000], 3));
        let back = s![..;-1, .., ..;-1];
        let reversed = blocks(
            |z| z.slice(back),
            |t| t.slice(back),
            |out| out.slice_mut(back),
        );
        assert_eq!(reversed, (vec![90_000], 3));
    }

    #[test]
    fn long_rows_are_not_copied() {
        let some = s![.., ..2, 1..];
        let rows = blocks(
            |z| z.slice(some),
            |t| t.slice(some),
            |out| out.slice_mut(some),
        );
        assert_eq!(rows, (vec![149; 400], 1200));
        let planes = s![.., ..2, ..];
        let planes = blocks(
            |z| z.slice(planes),
            |t| t.slice(planes),
            |out| out.slice_mut(planes),
        );
        assert_eq!(planes, (vec![300; 200], 600));
    }

    #[test]
    fn all_else_passes_through_the_stack() {
        let short = s![.., .., ..50];
        let (lengths, own) = blocks(
            |z| z.slice(short),
            |t| t.slice(short),
            |out| out.slice_mut(short),
        );
        assert_eq!(
            (lengths.iter().max(), lengths.iter().sum(), own),
            (Some(&512), 30_000, 0)
        );
        let (lengths, own) = blocks(
            |z| z.view(),
            |t| t.slice(s![.., .., ..;-1]),
            |out| out.view_mut(),
        );
        assert_eq!(
            (lengths.iter().max(), lengths.iter().sum()),
            (Some(&512), 90_000)
        );
        assert!(own < 3 * lengths.len());
    }
}
