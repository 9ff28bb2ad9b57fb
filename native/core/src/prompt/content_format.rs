//! Tells whether a chat template prints message.content as a string or loops over its parts, by the
//! same rule as vLLM: messages, variables assigned from it, loops over those, and loops over the
//! content of such a loop's variable. Called once per template by render.rs.

#![deny(clippy::indexing_slicing)]

use minijinja::machinery::ast::{Expr, ForLoop, Set, Stmt};

/// Whether a template prints `message.content` as a string or loops over its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFormat {
    Text,
    Parts,
}

pub fn content_format(tree: &Stmt<'_>) -> ContentFormat {
    let mut found = Found::default();
    found.visit(tree);
    let lists = found.assigned_from("messages");
    let messages: Vec<&str> = found
        .loops
        .iter()
        .filter(|run| lists.iter().any(|name| is_access(&run.iter, name, None)))
        .filter_map(|run| name_of(&run.target))
        .collect();
    let over_content = |run: &&ForLoop<'_>| {
        let over = |name: &&str| is_access(&run.iter, name, Some("content"));
        messages.iter().any(over)
    };
    if found.loops.iter().any(over_content) {
        ContentFormat::Parts
    } else {
        ContentFormat::Text
    }
}

/// Loops and assignments of a template.
#[derive(Default)]
struct Found<'t, 's> {
    loops: Vec<&'t ForLoop<'s>>,
    assignments: Vec<&'t Set<'s>>,
}

impl<'t, 's> Found<'t, 's> {
    /// Templates are the model's own, and the parser has bounded their nesting.
    fn visit(&mut self, statement: &'t Stmt<'s>) {
        match statement {
            Stmt::Template(template) => self.visit_all(&template.children),
            Stmt::ForLoop(run) => {
                self.loops.push(run);
                self.visit_all(&run.body);
                self.visit_all(&run.else_body);
            }
            Stmt::IfCond(branch) => {
                self.visit_all(&branch.true_body);
                self.visit_all(&branch.false_body);
            }
            Stmt::Set(set) => self.assignments.push(set),
            Stmt::WithBlock(block) => self.visit_all(&block.body),
            Stmt::SetBlock(block) => self.visit_all(&block.body),
            Stmt::AutoEscape(block) => self.visit_all(&block.body),
            Stmt::FilterBlock(block) => self.visit_all(&block.body),
            Stmt::Block(block) => self.visit_all(&block.body),
            Stmt::Macro(block) => self.visit_all(&block.body),
            Stmt::CallBlock(block) => self.visit_all(&block.macro_decl.body),
            _ => {}
        }
    }

    fn visit_all(&mut self, statements: &'t [Stmt<'s>]) {
        for statement in statements {
            self.visit(statement);
        }
    }

    /// `name` and every variable assigned from it or from a slice or filter of it.
    fn assigned_from(&self, name: &'t str) -> Vec<&'t str> {
        let mut names = vec![name];
        let mut at = 0;
        while let Some(known) = names.get(at).copied() {
            for set in &self.assignments {
                if is_access(&set.expr, known, None)
                    && let Some(target) = name_of(&set.target)
                    && !names.contains(&target)
                {
                    names.push(target);
                }
            }
            at += 1;
        }
        names
    }
}

/// Whether an expression is `name`, or `name.key` when there is a key, through filters, tests and
/// slices.
fn is_access(expression: &Expr<'_>, name: &str, key: Option<&str>) -> bool {
    let is_named = |inner: &Expr<'_>| name_of(inner) == Some(name);
    match expression {
        Expr::Filter(filter) => filter
            .expr
            .as_ref()
            .is_some_and(|e| is_access(e, name, key)),
        Expr::Test(test) => is_access(&test.expr, name, key),
        Expr::Slice(slice) => is_access(&slice.expr, name, key),
        Expr::GetAttr(access) => key == Some(access.name) && is_named(&access.expr),
        Expr::GetItem(access) => {
            let item = match &access.subscript_expr {
                Expr::Const(constant) => constant.value.as_str(),
                Expr::Var(variable) => Some(variable.id),
                _ => None,
            };
            key.is_some() && key == item && is_named(&access.expr)
        }
        other => key.is_none() && is_named(other),
    }
}

fn name_of<'t>(expression: &'t Expr<'_>) -> Option<&'t str> {
    match expression {
        Expr::Var(variable) => Some(variable.id),
        _ => None,
    }
}
