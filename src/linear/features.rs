//! [`Features`]: a view of the matrix, whichever way it lies in memory.

use core::fmt;
use core::ops::Range;
use core::slice::Chunks;

use crate::error::Error;
use crate::lane::Float;

/// The features X of n rows (examples) and d columns, borrowed. `Copy`, two words and a few numbers.
///
/// Row-major as NumPy, PyTorch and C hold it, or a slice a column as pandas, Arrow and Polars do. Every
/// operation gives the same bits for either.
///
/// ```
/// use soft_bce::linear::Features;
///
/// let rows = Features::rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
/// let columns = Features::columns(&[&[1.0, 4.0], &[2.0, 5.0], &[3.0, 6.0]], 2)?;
/// assert_eq!((rows.row_count(), rows.column_count()), (2, 3));
/// assert_eq!(rows.get(1, 2), columns.get(1, 2));
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Features<'a, T> {
    layout: Layout<'a, T>,
    start: usize,
    rows: usize,
    columns: usize,
}

#[derive(Clone, Copy)]
enum Layout<'a, T> {
    Rows { data: &'a [T], stride: usize },
    Columns(&'a [&'a [T]]),
}

impl<'a, T: Float> Features<'a, T> {
    /// Row after row, without gaps: element (i, j) is `data[i * columns + j]`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless `data` has `rows * columns` elements.
    pub fn rows(data: &'a [T], rows: usize, columns: usize) -> Result<Self, Error> {
        match rows.checked_mul(columns) {
            Some(length) if length == data.len() => Self::strided(data, rows, columns, columns),
            length => Err(mismatch("data", length, data.len())),
        }
    }

    /// Row after row, each `stride` elements after the one before: element (i, j) is
    /// `data[i * stride + j]`. What lies between the rows is never read, nor is what follows.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if `stride` is less than `columns`, or `data` too short for the last row.
    ///
    /// ```
    /// use soft_bce::linear::Features;
    /// // The two middle columns of four.
    /// let data = [0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0];
    /// let x = Features::strided(&data[1..], 2, 2, 4)?;
    /// assert_eq!(x.get(1, 1), Some(4.0));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn strided(
        data: &'a [T],
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Result<Self, Error> {
        if stride < columns {
            return Err(mismatch("stride", Some(columns), stride));
        }
        let length = match rows.checked_sub(1) {
            None => Some(0),
            Some(before) => before
                .checked_mul(stride)
                .and_then(|start| start.checked_add(columns)),
        };
        // Whatever it is of one row, so that no place that is made of it overflows.
        let stride = if rows > 1 { stride } else { columns };
        match length {
            Some(length) if length <= data.len() => Ok(Self {
                layout: Layout::Rows { data, stride },
                start: 0,
                rows,
                columns,
            }),
            length => Err(mismatch("data", length, data.len())),
        }
    }

    /// A slice for each column: element (i, j) is `columns[j][i]`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless every column has `rows` elements.
    pub fn columns(columns: &'a [&'a [T]], rows: usize) -> Result<Self, Error> {
        match columns.iter().find(|column| column.len() != rows) {
            Some(column) => Err(mismatch("columns", Some(rows), column.len())),
            None => Ok(Self {
                layout: Layout::Columns(columns),
                start: 0,
                rows,
                columns: columns.len(),
            }),
        }
    }

    /// n, the number of rows.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        self.rows
    }

    /// d, the number of columns.
    #[must_use]
    pub const fn column_count(&self) -> usize {
        self.columns
    }

    /// The element in this row and column, if there is one.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> Option<T> {
        if row >= self.rows || column >= self.columns {
            return None;
        }
        match self.layout {
            Layout::Rows { data, stride } => data.get((self.start + row) * stride + column),
            Layout::Columns(columns) => columns.get(column)?.get(self.start + row),
        }
        .copied()
    }

    /// These rows alone; as many of them as there are.
    ///
    /// ```
    /// use soft_bce::linear::Features;
    /// let x = Features::rows(&[1.0_f32, 2.0, 3.0], 3, 1)?;
    /// assert_eq!(x.part(1..3).get(0, 0), Some(2.0));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        let start = rows.start.min(self.rows);
        let end = rows.end.clamp(start, self.rows);
        Self {
            start: self.start + start,
            rows: end - start,
            ..*self
        }
    }

    #[inline]
    pub(crate) fn is_columnar(&self) -> bool {
        matches!(self.layout, Layout::Columns(_))
    }

    /// `length` elements of a row from `column` on; empty if the layout is another.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of_row(&self, row: usize, column: usize, length: usize) -> &'a [T] {
        let Layout::Rows { data, stride } = self.layout else {
            return &[];
        };
        let from = (self.start + row) * stride + column;
        data.get(from..from + length).unwrap_or(&[])
    }

    /// The rows from `row` on, each from `column` on and with what lies between that and the next one's; nothing if
    /// the layout is another.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn rows_from(&self, row: usize, column: usize) -> Chunks<'a, T> {
        let (data, stride) = match self.layout {
            Layout::Rows { data, stride } => (data, stride),
            Layout::Columns(_) => (&[][..], 0),
        };
        let from = (self.start + row) * stride + column;
        let end = (self.start + self.rows).saturating_sub(1) * stride + self.columns;
        data.get(from..end).unwrap_or(&[]).chunks(stride.max(1))
    }

    /// Elements from a row's first, or a column's element, to that of the row so many rows later.
    #[inline]
    pub(crate) fn distance(&self, rows: usize) -> usize {
        match self.layout {
            Layout::Rows { stride, .. } => rows.wrapping_mul(stride),
            Layout::Columns(_) => rows,
        }
    }

    /// All rows as one slice, if nothing lies between them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn packed(&self) -> &'a [T] {
        match self.layout {
            Layout::Rows { data, stride } if stride == self.columns => data
                .get(self.start * stride..(self.start + self.rows) * stride)
                .unwrap_or(&[]),
            _ => &[],
        }
    }

    /// A column's elements in these rows; empty if the layout is another.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of_column(&self, column: usize, row: usize, length: usize) -> &'a [T] {
        let Layout::Columns(columns) = self.layout else {
            return &[];
        };
        let from = self.start + row;
        let column = columns.get(column).copied().unwrap_or(&[]);
        column.get(from..from + length).unwrap_or(&[])
    }
}

/// The shape alone: matrices are long.
impl<T> fmt::Debug for Features<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Features")
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

fn mismatch(argument: &'static str, expected: Option<usize>, found: usize) -> Error {
    Error::LengthMismatch {
        argument,
        expected: expected.unwrap_or(usize::MAX),
        found,
    }
}
