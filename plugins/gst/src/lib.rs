//! libgstearmark.so.
