//! The luma plane of a frame, and a smaller working image of it.

/// The longer side of the working image is near this many pixels.
const WORKING: usize = 480;
/// The even pixels of four in a word.
const EVEN: u32 = 0x00ff_00ff;

/// A plane of luma, one byte per pixel.
#[derive(Clone, Copy, Debug)]
pub struct Luma<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
    full: bool,
}

impl<'a> Luma<'a> {
    /// `stride`: bytes from one row to the next. `full`: bytes span 0..=255, else 16..=235. `None` if there is too little data or no pixel.
    pub fn new(
        data: &'a [u8],
        stride: usize,
        width: usize,
        height: usize,
        full: bool,
    ) -> Option<Self> {
        let needed = stride
            .checked_mul(height.checked_sub(1)?)?
            .checked_add(width)?;
        (width > 0 && stride >= width && data.len() >= needed).then_some(Self {
            data,
            stride,
            width,
            height,
            full,
        })
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Whether bytes span 0..=255.
    pub fn full(&self) -> bool {
        self.full
    }

    /// A row; empty beyond the last.
    pub(super) fn row(&self, y: usize) -> &'a [u8] {
        let from = y * self.stride;
        self.data.get(from..from + self.width).unwrap_or_default()
    }
}

/// A frame reduced by a whole factor, each pixel the mean of those it replaces. Keeps its buffers.
#[derive(Clone, Debug, Default)]
pub struct WorkingImage {
    pixels: Vec<u8>,
    sums: Vec<u16>,
    fours: Vec<u32>,
    width: usize,
    height: usize,
    full: bool,
}

impl WorkingImage {
    /// Takes a frame: 1920 x 1080 becomes 480 x 270, anything below 720 pixels stays as it is.
    pub fn take(&mut self, luma: &Luma<'_>) {
        let longer = luma.width().max(luma.height());
        let factor = ((longer + WORKING / 2) / WORKING).clamp(1, 16);
        (self.width, self.height) = (luma.width() / factor, luma.height() / factor);
        self.full = luma.full();
        self.pixels.clear();
        self.pixels.reserve(self.width * self.height);
        for y in 0..self.height {
            if factor == 1 {
                self.pixels.extend_from_slice(luma.row(y));
                continue;
            }
            // A constant lets the compiler unroll the usual sizes.
            match factor {
                2 => self.reduce(luma, y, 2),
                3 => self.reduce(luma, y, 3),
                4 => self.reduce_fours::<1>(luma, y),
                8 => self.reduce_fours::<2>(luma, y),
                _ => self.reduce(luma, y, factor),
            }
        }
    }

    /// Row `y`.
    #[inline(always)]
    fn reduce(&mut self, luma: &Luma<'_>, y: usize, factor: usize) {
        self.sums.clear();
        self.sums.resize(self.width * factor, 0);
        for k in 0..factor {
            let row = luma.row(y * factor + k);
            for (sum, &pixel) in self.sums.iter_mut().zip(row) {
                *sum += u16::from(pixel);
            }
        }
        let cells = (factor * factor) as u32;
        let cells = self.sums.chunks_exact(factor).map(|sums| {
            let sum: u32 = sums.iter().map(|&sum| u32::from(sum)).sum();
            ((sum + cells / 2) / cells) as u8
        });
        self.pixels.extend(cells);
    }

    /// Row `y` where the factor is `4 * FOURS`: the same, four pixels in a word.
    fn reduce_fours<const FOURS: usize>(&mut self, luma: &Luma<'_>, y: usize) {
        let factor = 4 * FOURS;
        self.fours.clear();
        self.fours.resize(self.width * FOURS, 0);
        for k in 0..factor {
            let row = luma.row(y * factor + k).as_chunks::<4>().0;
            for (sum, four) in self.fours.iter_mut().zip(row) {
                // Two sums of 16 bits: of the even pixels, and of the odd ones.
                let four = u32::from_le_bytes(*four);
                *sum += (four & EVEN) + ((four >> 8) & EVEN);
            }
        }
        let cells = (factor * factor) as u32;
        let cells = self.fours.as_chunks::<FOURS>().0.iter().map(|fours| {
            let both: u32 = fours.iter().sum();
            (((both & 0xffff) + (both >> 16) + cells / 2) / cells) as u8
        });
        self.pixels.extend(cells);
    }

    /// Rows from the top.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.width.max(1))
    }

    /// All pixels, row by row.
    pub(super) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// A row.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let from = y * self.width;
        self.pixels.get(from..from + self.width).unwrap_or_default()
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn full(&self) -> bool {
        self.full
    }
}
