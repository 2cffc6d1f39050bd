//! A list that only grows, and is read without a lock: the few combinations of labels that a thing was ever seen with.

use std::sync::OnceLock;

pub struct List<K, V> {
    first: OnceLock<Box<Node<K, V>>>,
}

struct Node<K, V> {
    key: K,
    value: V,
    next: OnceLock<Box<Self>>,
}

impl<K, V> Default for List<K, V> {
    fn default() -> Self {
        Self { first: OnceLock::new() }
    }
}

impl<K: PartialEq + Copy, V> List<K, V> {
    pub fn get_or_make(&self, key: K, make: impl Fn() -> V) -> &V {
        let mut place = &self.first;
        loop {
            let node = place.get_or_init(|| Box::new(Node { key, value: make(), next: OnceLock::new() }));
            if node.key == key {
                return &node.value;
            }
            place = &node.next;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let first = self.first.get();
        std::iter::successors(first, |node| node.next.get()).map(|node| (node.key, &node.value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_key_has_one_value_whoever_comes_first() {
        let list = List::<usize, AtomicUsize>::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for at in 0..1000 {
                        list.get_or_make(at % 5, AtomicUsize::default).fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let mut all: Vec<_> = list.iter().map(|(key, value)| (key, value.load(Ordering::Relaxed))).collect();
        all.sort_unstable();
        assert_eq!(all, [(0, 1600), (1, 1600), (2, 1600), (3, 1600), (4, 1600)]);
    }
}
