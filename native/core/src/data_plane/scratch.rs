//! The read buffer of a thread: what waits for bytes holds no buffer of its own.

use std::cell::RefCell;
use std::rc::Rc;

/// Bytes read from a socket at once.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What uses it is done with it before it returns.
pub struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub fn new() -> Rc<Self> {
        Rc::new(Self(RefCell::new(
            vec![0; SCRATCH_BYTES].into_boxed_slice(),
        )))
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut [u8]) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }
}
