//! The luma plane of a frame, and a smaller working image of it.

/// The longer side of the working image is near this many pixels.
const WORKING: usize = 480;

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
            self.sums.clear();
            self.sums.resize(self.width * factor, 0);
            for k in 0..factor {
                let row = luma.row(y * factor + k);
                for (sum, &pixel) in self.sums.iter_mut().zip(row) {
                    *sum += u16::from(pixel);
                }
            }
            let cells = (factor * factor) as u32;
            let mean = |sums: &[u16]| {
                let sum: u32 = sums.iter().map(|&sum| u32::from(sum)).sum();
                ((sum + cells / 2) / cells) as u8
            };
            // A constant length lets the compiler unroll the usual sizes.
            match factor {
                2 => self.pixels.extend(self.sums.chunks_exact(2).map(mean)),
                3 => self.pixels.extend(self.sums.chunks_exact(3).map(mean)),
                4 => self.pixels.extend(self.sums.chunks_exact(4).map(mean)),
                _ => self.pixels.extend(self.sums.chunks_exact(factor).map(mean)),
            }
        }
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
