//! Native objects by small numbers, because class instances cost eight times a bare call. Objects
//! that hold JavaScript memory live in a `Local` of the thread that made them; others in a `Global`.

#![deny(clippy::indexing_slicing)]

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{Error, Result};

/// Objects of one thread. What is still open when the thread ends is left to Node, which has freed
/// the memory by then.
pub struct Local<T> {
    objects: RefCell<ManuallyDrop<Vec<Option<T>>>>,
    name: &'static str,
}

impl<T> Local<T> {
    pub const fn new(name: &'static str) -> Self {
        Self {
            objects: RefCell::new(ManuallyDrop::new(Vec::new())),
            name,
        }
    }

    pub fn insert(&self, object: T) -> u32 {
        insert(&mut self.objects.borrow_mut(), object)
    }

    /// Calls `act` with the object; an error for an id that is not open.
    pub fn with<R>(&self, id: u32, act: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut objects = self.objects.borrow_mut();
        match objects.get_mut(id as usize) {
            Some(Some(object)) => act(object),
            _ => Err(closed(self.name, id)),
        }
    }

    pub fn remove(&self, id: u32) -> Option<T> {
        self.objects.borrow_mut().get_mut(id as usize)?.take()
    }
}

/// Objects of the process, used by several threads.
pub struct Global<T> {
    objects: Mutex<Vec<Option<Arc<T>>>>,
    name: &'static str,
}

impl<T> Global<T> {
    pub const fn new(name: &'static str) -> Self {
        Self {
            objects: Mutex::new(Vec::new()),
            name,
        }
    }

    pub fn insert(&self, object: T) -> u32 {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        insert(&mut objects, Arc::new(object))
    }

    pub fn get(&self, id: u32) -> Result<Arc<T>> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        match objects.get(id as usize) {
            Some(Some(object)) => Ok(Arc::clone(object)),
            _ => Err(closed(self.name, id)),
        }
    }

    pub fn remove(&self, id: u32) -> Option<Arc<T>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get_mut(id as usize)?.take()
    }
}

fn insert<T>(objects: &mut Vec<Option<T>>, object: T) -> u32 {
    if let Some((at, free)) = objects
        .iter_mut()
        .enumerate()
        .find(|(_, own)| own.is_none())
    {
        *free = Some(object);
        return at as u32;
    }
    objects.push(Some(object));
    objects.len() as u32 - 1
}

fn closed(name: &str, id: u32) -> Error {
    Error::from_reason(format!("{name} {id} is not open"))
}
