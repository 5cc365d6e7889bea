//! A piece of a stripe's memory: nodes that never move, and beside them the columns that only some caches need.

use std::alloc::Layout;
use std::alloc::handle_alloc_error;

use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::IS_MODELLED;

use super::column::Column;
use super::column::Deadlines;
use super::column::RefreshCell;
use super::node::Node;

/// Nodes start on a cache line, so that a node whose size divides a line never lies across two.
const ALIGNMENT: usize = 64;

pub(super) struct Chunk<K, V> {
    pub(super) nodes: *mut Node<K, V>,
    pub(super) length: usize,
    pub(super) sources: Column<AtomicU64>,
    pub(super) weights: Column<AtomicU64>,
    pub(super) deadlines: Column<Deadlines>,
    pub(super) refreshes: Column<RefreshCell>,
    pub(super) pins: Column<AtomicU32>,
}

impl<K, V> Chunk<K, V> {
    fn layout(length: usize) -> Layout {
        let nodes = Layout::array::<Node<K, V>>(length).expect("a chunk is at most a megabyte or a few nodes");
        nodes.align_to(ALIGNMENT).expect("a power of two").pad_to_align()
    }

    pub(super) fn new(length: usize) -> Self {
        let layout = Self::layout(length);
        // SAFETY: a node has a header, so the layout is not empty.
        let nodes = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<Node<K, V>>();
        if nodes.is_null() {
            handle_alloc_error(layout);
        }
        // All zeros is what a vacant node is, so memory that is not needed yet is not touched.
        if IS_MODELLED {
            // SAFETY: so many nodes were allocated.
            (0..length).for_each(|at| unsafe { nodes.add(at).write(Node::vacant()) });
        }
        let (sources, weights, deadlines, refreshes, pins) =
            (Column::new(), Column::new(), Column::new(), Column::new(), Column::new());
        Chunk { nodes, length, sources, weights, deadlines, refreshes, pins }
    }

    /// # Safety
    /// The nodes are vacant, and nobody refers to them any more.
    pub(super) unsafe fn free(&self) {
        // SAFETY: the nodes are there, zeros or made so by `new`; nothing is dropped where atomics are plain.
        unsafe { std::ptr::slice_from_raw_parts_mut(self.nodes, self.length).drop_in_place() };
        // SAFETY: allocated by `new` with the same layout.
        unsafe { std::alloc::dealloc(self.nodes.cast(), Self::layout(self.length)) };
    }

    pub(super) fn memory(&self) -> usize {
        let columns = self.sources.memory() + self.weights.memory() + self.deadlines.memory() + self.pins.memory();
        let columns = columns + self.refreshes.memory();
        size_of::<Self>() + Self::layout(self.length).size() + columns
    }
}
