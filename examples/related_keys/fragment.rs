//! What the cache holds: pieces of a page, all made of the lines of one order.

use std::fmt::Write;
use std::sync::Arc;

use crate::common::random::mix;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Total(u64),
    Line(u64, usize),
    Page(u64),
}

/// The state of an order: every commit changes all its prices.
pub(crate) struct Order {
    pub(crate) version: u64,
    pub(crate) prices: Vec<u64>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    /// Of the order that it was made of.
    pub(crate) version: u64,
    /// The price that it shows, or the sum of those.
    pub(crate) amount: u64,
    pub(crate) text: Arc<str>,
    /// Was it set with the commit, by its writer? Else it was loaded.
    pub(crate) set: bool,
}

impl Fragment {
    pub(crate) fn of(key: Key, order: &Order) -> Self {
        let total = order.prices.iter().sum();
        let (amount, text) = match key {
            Key::Total(id) => (total, format!("<p>Order {id}: {}</p>", money(total))),
            Key::Line(_, line) => (order.prices[line], item(line, order.prices[line])),
            Key::Page(id) => (total, page(id, total, &order.prices)),
        };
        Self { version: order.version, amount, text: text.into(), set: false }
    }

    pub(crate) fn set(key: Key, order: &Order) -> Self {
        Self { set: true, ..Self::of(key, order) }
    }

    /// Is it what its version of the order shows under this key, and nothing else?
    pub(crate) fn belongs_to(&self, key: Key, lines: usize) -> bool {
        let amount = match key {
            Key::Total(order) | Key::Page(order) => (0..lines).map(|line| price(order, line, self.version)).sum(),
            Key::Line(order, line) => price(order, line, self.version),
        };
        self.amount == amount && !self.text.is_empty()
    }
}

/// The only price that this line ever had in this version of its order.
pub(crate) fn price(order: u64, line: usize, version: u64) -> u64 {
    1 + mix(mix(order ^ ((line as u64) << 48)).wrapping_add(version)) % 100_000
}

fn page(id: u64, total: u64, prices: &[u64]) -> String {
    let mut text = format!("<h1>Order {id}</h1><ul>");
    for (line, &price) in prices.iter().enumerate() {
        text += &item(line, price);
    }
    // A string takes all that is written.
    let _ = write!(text, "</ul><p>{}</p>", money(total));
    text
}

fn item(line: usize, price: u64) -> String {
    format!("<li>{}. {}</li>", line + 1, money(price))
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
