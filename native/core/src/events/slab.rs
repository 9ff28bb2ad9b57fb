//! Values by number; numbers of removed values are given out again.

pub struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub const fn new() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn insert(&mut self, value: T) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.values[number] = Some(value);
                number
            }
            None => {
                self.values.push(Some(value));
                self.values.len() - 1
            }
        }
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        self.values.get(number)?.as_ref()
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.values.get_mut(number)?.as_mut()
    }

    pub fn remove(&mut self, number: usize) -> Option<T> {
        let value = self.values.get_mut(number)?.take();
        if value.is_some() {
            self.free.push(number);
        }
        value
    }
}
