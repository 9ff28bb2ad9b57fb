//! The texts a chat template looks for in what it is given: arguments of methods, filters and
//! tests, and what is compared. A message that has none of them takes no special branch. Called by
//! fast_chat.rs when a template is loaded.

#![deny(clippy::indexing_slicing)]

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Stmt};

/// Texts of one template.
#[derive(Debug, Default)]
pub struct Literals {
    /// Looked for inside of texts.
    pub contained: Vec<String>,
    /// Compared with whole texts.
    pub compared: Vec<String>,
}

/// What an expression is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Printed,
    Contained,
    Compared,
}

pub fn literals(tree: &Stmt<'_>) -> Literals {
    let mut found = Literals::default();
    found.statement(tree);
    found
}

impl Literals {
    pub fn add(&mut self, other: Self) {
        self.contained.extend(other.contained);
        self.compared.extend(other.compared);
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    /// Templates are the model's own, and the parser has bounded their nesting.
    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr, Use::Printed),
            Stmt::ForLoop(run) => {
                self.expression(&run.iter, Use::Printed);
                self.optional(run.filter_expr.as_ref());
                self.statements(&run.body);
                self.statements(&run.else_body);
            }
            Stmt::IfCond(branch) => {
                self.expression(&branch.expr, Use::Printed);
                self.statements(&branch.true_body);
                self.statements(&branch.false_body);
            }
            Stmt::WithBlock(block) => {
                for (_, value) in &block.assignments {
                    self.expression(value, Use::Printed);
                }
                self.statements(&block.body);
            }
            Stmt::Set(set) => self.expression(&set.expr, Use::Printed),
            Stmt::SetBlock(block) => {
                self.optional(block.filter.as_ref());
                self.statements(&block.body);
            }
            Stmt::AutoEscape(block) => self.statements(&block.body),
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter, Use::Printed);
                self.statements(&block.body);
            }
            Stmt::Block(block) => self.statements(&block.body),
            Stmt::Macro(block) => self.statements(&block.body),
            Stmt::CallBlock(block) => {
                self.arguments(&block.call.args);
                self.statements(&block.macro_decl.body);
            }
            Stmt::Do(call) => self.arguments(&call.call.args),
            _ => {}
        }
    }

    fn optional(&mut self, expression: Option<&Expr<'_>>) {
        if let Some(expression) = expression {
            self.expression(expression, Use::Printed);
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value, Use::Contained),
            }
        }
    }

    fn expression(&mut self, expression: &Expr<'_>, role: Use) {
        match expression {
            Expr::Var(_) => {}
            Expr::Const(constant) => self.constant(constant.value.as_str(), role),
            Expr::Slice(slice) => self.expression(&slice.expr, role),
            Expr::UnaryOp(operation) => self.expression(&operation.expr, role),
            Expr::BinOp(operation) => {
                let (left, right) = match operation.op {
                    BinOpKind::In => (Use::Contained, Use::Compared),
                    BinOpKind::Eq
                    | BinOpKind::Ne
                    | BinOpKind::Lt
                    | BinOpKind::Lte
                    | BinOpKind::Gt
                    | BinOpKind::Gte => (Use::Compared, Use::Compared),
                    _ => (role, role),
                };
                self.expression(&operation.left, left);
                self.expression(&operation.right, right);
            }
            Expr::Compare(comparison) => {
                let is_in =
                    |op: &CompareOpKind| matches!(op, CompareOpKind::In | CompareOpKind::NotIn);
                let contains = comparison.ops.iter().any(|operand| is_in(&operand.op));
                let first = if contains {
                    Use::Contained
                } else {
                    Use::Compared
                };
                self.expression(&comparison.expr, first);
                for operand in &comparison.ops {
                    self.expression(&operand.expr, Use::Compared);
                }
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr, Use::Printed);
                self.expression(&choice.true_expr, role);
                if let Some(otherwise) = &choice.false_expr {
                    self.expression(otherwise, role);
                }
            }
            Expr::Filter(filter) => {
                self.optional(filter.expr.as_ref());
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr, Use::Printed);
                self.arguments(&test.args);
            }
            Expr::GetAttr(access) => self.expression(&access.expr, Use::Printed),
            Expr::GetItem(access) => self.expression(&access.expr, Use::Printed),
            Expr::Call(call) => {
                self.expression(&call.expr, Use::Printed);
                self.arguments(&call.args);
            }
            Expr::List(list) => {
                for item in &list.items {
                    self.expression(item, role);
                }
            }
            Expr::Map(map) => {
                for value in &map.values {
                    self.expression(value, role);
                }
            }
        }
    }

    fn constant(&mut self, text: Option<&str>, role: Use) {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        match role {
            Use::Printed => {}
            // Whitespace is in every text; what templates do about it is tried out instead.
            Use::Contained if text.trim().is_empty() => {}
            Use::Contained => self.contained.push(text.to_owned()),
            Use::Compared => self.compared.push(text.to_owned()),
        }
    }
}
