//! Copy-on-write memory for decoded frames.
//!
//! A decoder keeps every reference frame mapped for writing, so GStreamer hands out a copy of each, though nobody writes to it any more
//! and `framepick` drops nearly all of them. Here such a copy costs nothing. A write through a mapping older than the copy would show in
//! the copy; decoders make none, as the frames they give out are finished.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::glib::translate::IntoGlib;
use gst::prelude::*;
use gst::subclass::prelude::*;

glib::wrapper! {
    /// Allocates copy-on-write memory.
    pub struct FrameAllocator(ObjectSubclass<imp::FrameAllocator>) @extends gst::Allocator, gst::Object;
}

impl Default for FrameAllocator {
    fn default() -> Self {
        glib::Object::new()
    }
}

/// Bytes shared by every piece that refers to them.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it is plain memory of its own; mapping decides who may write to it and when.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Zeroed; `None` if there is no memory left.
    fn new(layout: Layout) -> Option<Self> {
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, layout })
    }

    /// Another with the same bytes.
    fn duplicate(&self) -> Option<Self> {
        let other = Self::new(self.layout)?;
        // SAFETY: both are as large as the layout says, and they are not the same.
        unsafe {
            ptr::copy_nonoverlapping(
                self.start.as_ptr(),
                other.start.as_ptr(),
                self.layout.size(),
            );
        }
        Some(other)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it comes from `alloc_zeroed` with this layout, and nobody shares it any more.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A `GstMemory`, with GStreamer's part first: C code sees only that.
#[repr(C)]
struct Piece {
    memory: gst::ffi::GstMemory,
    held: Mutex<HeldBlock>,
}

struct HeldBlock {
    block: Arc<Block>,
    /// How many mappings are open.
    mapped: usize,
}

/// Where in its block a piece lies and how it is aligned, as `gst_memory_init` takes it.
#[derive(Clone, Copy)]
struct Region {
    whole: usize,
    align: usize,
    offset: usize,
    size: usize,
}

impl Piece {
    /// A new piece of this block, for GStreamer to own.
    ///
    /// # Safety
    /// `allocator` is a [`FrameAllocator`], and the region lies inside the block.
    unsafe fn make(
        allocator: *mut gst::ffi::GstAllocator,
        block: Arc<Block>,
        flags: gst::MemoryFlags,
        region: Region,
    ) -> *mut gst::ffi::GstMemory {
        let piece = Box::into_raw(Box::new(Self {
            // SAFETY: numbers, pointers and optional functions, all of which may be zero until they are set below.
            memory: unsafe { std::mem::zeroed() },
            held: Mutex::new(HeldBlock { block, mapped: 0 }),
        }));
        // SAFETY: the pointer is to a whole `Piece`, at whose start the memory is.
        unsafe {
            gst::ffi::gst_memory_init(
                piece.cast(),
                // A share would need a piece with a parent; a copy costs as little.
                (flags | gst::MemoryFlags::NO_SHARE).into_glib(),
                allocator,
                ptr::null_mut(),
                region.whole,
                region.align,
                region.offset,
                region.size,
            );
        }
        piece.cast()
    }

    /// The piece behind a `GstMemory`.
    ///
    /// # Safety
    /// It was made by [`Self::make`] and lives.
    unsafe fn of<'a>(memory: *mut gst::ffi::GstMemory) -> &'a Self {
        // SAFETY: the caller's.
        unsafe { &*memory.cast::<Self>() }
    }

    fn held(&self) -> MutexGuard<'_, HeldBlock> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The block's start, to which `gst_memory_map` adds the offset. A writer first gets a block of its own.
unsafe extern "C" fn map(
    memory: *mut gst::ffi::GstMemory,
    _whole: usize,
    flags: gst::ffi::GstMapFlags,
) -> glib::ffi::gpointer {
    // SAFETY: GStreamer calls it for memory of this allocator only.
    let mut held = unsafe { Piece::of(memory) }.held();
    // `get_mut` also orders memory accesses of earlier sharers before this; comparing a count would not.
    if flags & gst::ffi::GST_MAP_WRITE != 0 && Arc::get_mut(&mut held.block).is_none() {
        // Earlier mappings must not be left behind on the old block.
        let own = (held.mapped == 0).then(|| held.block.duplicate()).flatten();
        let Some(own) = own else {
            return ptr::null_mut();
        };
        held.block = Arc::new(own);
    }
    held.mapped += 1;
    held.block.start.as_ptr().cast()
}

unsafe extern "C" fn unmap(memory: *mut gst::ffi::GstMemory) {
    // SAFETY: as in `map`.
    let mut held = unsafe { Piece::of(memory) }.held();
    held.mapped = held.mapped.saturating_sub(1);
}

/// Another piece of the same block. `size` -1: to the end.
unsafe extern "C" fn copy(
    memory: *mut gst::ffi::GstMemory,
    offset: isize,
    size: isize,
) -> *mut gst::ffi::GstMemory {
    // SAFETY: as in `map`.
    let piece = unsafe { Piece::of(memory) };
    let old = &piece.memory;
    let left = old.size.checked_add_signed(offset.wrapping_neg());
    let region = usize::try_from(size).ok().or(left).and_then(|size| {
        let offset = old.offset.checked_add_signed(offset)?;
        let inside = offset.checked_add(size)? <= old.maxsize;
        inside.then_some(Region {
            whole: old.maxsize,
            align: old.align,
            offset,
            size,
        })
    });
    let Some(region) = region else {
        return ptr::null_mut();
    };
    let block = piece.held().block.clone();
    // SAFETY: the allocator is that of the piece, and the region was checked.
    unsafe { Piece::make(old.allocator, block, gst::MemoryFlags::empty(), region) }
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct FrameAllocator;

    #[glib::object_subclass]
    impl ObjectSubclass for FrameAllocator {
        const NAME: &'static str = "EarmarkFrameAllocator";
        type Type = super::FrameAllocator;
        type ParentType = gst::Allocator;

        fn instance_init(obj: &glib::subclass::InitializingObject<Self>) {
            let allocator = obj.as_ptr().cast::<gst::ffi::GstAllocator>();
            // SAFETY: the object is an allocator, and nobody else has it yet.
            unsafe {
                (*allocator).mem_type = c"EarmarkFrame".as_ptr();
                (*allocator).mem_map = Some(map);
                (*allocator).mem_unmap = Some(unmap);
                (*allocator).mem_copy = Some(copy);
            }
        }
    }

    impl ObjectImpl for FrameAllocator {}
    impl GstObjectImpl for FrameAllocator {}

    // SAFETY: what is allocated is freed by the same type, below.
    unsafe impl AllocatorImpl for FrameAllocator {
        unsafe fn alloc(
            &self,
            size: usize,
            params: &gst::AllocationParams,
        ) -> *mut gst::ffi::GstMemory {
            let align = params.align() | gst::Memory::default_alignment();
            let whole = size
                .checked_add(params.prefix())
                .and_then(|size| size.checked_add(params.padding()));
            let layout = whole.and_then(|whole| Layout::from_size_align(whole, align + 1).ok());
            // All zero, as the flags may ask of prefix and padding.
            let Some(block) = layout.and_then(Block::new) else {
                return ptr::null_mut();
            };
            let region = Region {
                whole: block.layout.size(),
                align,
                offset: params.prefix(),
                size,
            };
            let allocator = self.obj().as_ptr().cast();
            // SAFETY: it is this allocator, and the block holds prefix, size and padding.
            unsafe { Piece::make(allocator, Arc::new(block), params.flags(), region) }
        }

        unsafe fn free(&self, memory: *mut gst::ffi::GstMemory) {
            // SAFETY: every piece comes from `Piece::make`, out of a box, and nobody has this one any more.
            drop(unsafe { Box::from_raw(memory.cast::<Piece>()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buffers of so many bytes, as a decoder gets them.
    fn pool(size: u32) -> gst::BufferPool {
        gst::init().unwrap();
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        let mut params = gst::AllocationParams::default();
        params.set_align(63);
        params.set_prefix(8);
        params.set_padding(16);
        config.set_params(None, size, 0, 0);
        config.set_allocator(Some(&FrameAllocator::default()), Some(&params));
        pool.set_config(config).unwrap();
        pool.set_active(true).unwrap();
        pool
    }

    fn filled(size: u32, byte: u8) -> gst::Buffer {
        let mut buffer = pool(size).acquire_buffer(None).unwrap();
        buffer.get_mut().unwrap().map_writable().unwrap().fill(byte);
        buffer
    }

    fn start(memory: &gst::MemoryRef) -> *const u8 {
        memory.map_readable().unwrap().as_ptr()
    }

    #[test]
    fn a_copy_shares_until_it_is_written_to() {
        let buffer = filled(1000, 1);
        let mut copy = buffer.copy_deep().unwrap();
        assert_eq!(start(buffer.peek_memory(0)), start(copy.peek_memory(0)));
        copy.get_mut().unwrap().map_writable().unwrap()[3] = 2;
        assert_ne!(start(buffer.peek_memory(0)), start(copy.peek_memory(0)));
        assert_eq!(buffer.map_readable().unwrap()[2..5], [1, 1, 1]);
        assert_eq!(copy.map_readable().unwrap()[2..5], [1, 2, 1]);
    }

    #[test]
    fn a_copy_stays_what_it_was_when_the_original_is_written_to() {
        let mut buffer = filled(1000, 1);
        let copy = buffer.copy_deep().unwrap();
        buffer.get_mut().unwrap().map_writable().unwrap().fill(7);
        assert!(copy.map_readable().unwrap().iter().all(|byte| *byte == 1));
        assert!(buffer.map_readable().unwrap().iter().all(|byte| *byte == 7));
        // Alone again, it is written to in region.
        drop(copy);
        let before = start(buffer.peek_memory(0));
        buffer.get_mut().unwrap().map_writable().unwrap()[0] = 3;
        assert_eq!(start(buffer.peek_memory(0)), before);
    }

    /// What a decoder does with a frame that it gives out and still refers to.
    #[test]
    fn a_buffer_in_use_is_copied_for_nothing() {
        let buffer = filled(1000, 5);
        let mapped = buffer.clone().into_mapped_buffer_readable().unwrap();
        let mut out = buffer.clone();
        out.make_mut().set_pts(gst::ClockTime::SECOND);
        assert_ne!(out.as_ptr(), buffer.as_ptr());
        assert_eq!(start(out.peek_memory(0)), mapped.as_slice().as_ptr());
    }

    #[test]
    fn a_part_is_copied_too() {
        let pool = pool(100);
        let mut buffer = pool.acquire_buffer(None).unwrap();
        for (at, byte) in (0..).zip(buffer.get_mut().unwrap().map_writable().unwrap().iter_mut()) {
            *byte = at;
        }
        let part = buffer
            .copy_region(gst::BufferCopyFlags::MEMORY, 10..20)
            .unwrap();
        assert_eq!(
            part.map_readable().unwrap().as_slice(),
            (10..20).collect::<Vec<u8>>()
        );
        let rest = buffer
            .copy_region(gst::BufferCopyFlags::MEMORY, 90..)
            .unwrap();
        assert_eq!(
            rest.map_readable().unwrap().as_slice(),
            (90..100).collect::<Vec<u8>>()
        );
    }

    #[test]
    fn nobody_is_left_behind_with_another_block() {
        let pool = pool(100);
        let buffer = pool.acquire_buffer(None).unwrap();
        let memory = buffer.peek_memory(0).as_mut_ptr();
        let _copy = buffer.copy_deep().unwrap();
        // SAFETY: the memory lives as long as the buffer.
        unsafe {
            assert!(!map(memory, 0, gst::ffi::GST_MAP_READ).is_null());
            assert!(map(memory, 0, gst::ffi::GST_MAP_WRITE).is_null());
            unmap(memory);
            assert!(!map(memory, 0, gst::ffi::GST_MAP_WRITE).is_null());
            unmap(memory);
        }
    }

    #[test]
    fn it_is_aligned_padded_and_may_be_refused() {
        let pool = pool(999);
        let buffer = pool.acquire_buffer(None).unwrap();
        let memory = buffer.peek_memory(0);
        let (size, offset, whole) = (memory.size(), memory.offset(), memory.maxsize());
        assert_eq!((size, offset, whole), (999, 8, 999 + 8 + 16));
        assert_eq!((start(memory) as usize - 8) % 64, 0);
        let allocator = FrameAllocator::default();
        let params = gst::AllocationParams::default();
        for size in [0, usize::MAX] {
            // SAFETY: nothing comes back.
            assert!(unsafe { allocator.imp().alloc(size, &params) }.is_null());
        }
    }
}
