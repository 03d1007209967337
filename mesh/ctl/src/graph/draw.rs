//! The graph as text that other programs draw.

use std::fmt::{self, Write as _};

use super::{Edge, Graph};

impl Graph {
    /// For Mermaid, which GitHub draws by itself: customers where they come in, calls solid, events
    /// dotted.
    pub fn mermaid(&self) -> Result<String, fmt::Error> {
        let mut text = "flowchart LR\n".to_owned();
        for door in &self.doors {
            writeln!(text, "    customer((customer)) --> {door}")?;
        }
        let edges = || self.calls.iter().chain(&self.events);
        let is_alone = |it: &&String| edges().all(|edge| edge.from != **it && edge.to != **it);
        for service in self.services.iter().filter(is_alone) {
            writeln!(text, "    {service}")?;
        }
        for Edge { from, to, .. } in &self.calls {
            writeln!(text, "    {from} --> {to}")?;
        }
        for Edge { from, to, .. } in &self.events {
            writeln!(text, "    {from} -. events .-> {to}")?;
        }
        Ok(text)
    }

    /// For Graphviz: `dot -Tsvg`. What an edge carries is its tooltip.
    pub fn dot(&self) -> Result<String, fmt::Error> {
        let mut text = "digraph services {\n    rankdir=LR\n    node [shape=box]\n".to_owned();
        for service in &self.services {
            writeln!(text, "    {service:?}")?;
        }
        let styles = [(&self.calls, "solid"), (&self.events, "dotted")];
        for (edges, style) in styles {
            for Edge { from, to, names, .. } in edges {
                let carries = names.join(", ");
                writeln!(text, "    {from:?} -> {to:?} [style={style}, tooltip={carries:?}]")?;
            }
        }
        text.push_str("}\n");
        Ok(text)
    }
}
