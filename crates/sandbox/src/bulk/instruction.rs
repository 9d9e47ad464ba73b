//! The bulk instructions, and the function that does one of them in pieces.
//!
//! WebAssembly's have it all or nothing: out of bounds, nothing is written. An instruction of length
//! 0 at the end of its range checks just that, so that no bounds are worked out here.

use wasm_encoder::{BlockType, Function, InstructionSink, RefType, ValType};
use wasmparser::Operator;

use super::Pieces;

/// The parameters of each bulk instruction: where to, what or where from, and how much.
const TO: u32 = 0;
const FROM: u32 = 1;
const LEN: u32 = 2;

/// A bulk instruction but for its operands on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    MemoryFill { memory: u32 },
    MemoryCopy { to: u32, from: u32 },
    MemoryInit { memory: u32, data: u32 },
    TableFill { table: u32 },
    TableCopy { to: u32, from: u32 },
    TableInit { table: u32, elements: u32 },
}

impl Instruction {
    pub(super) fn of(operator: &Operator<'_>) -> Option<Self> {
        match *operator {
            Operator::MemoryFill { mem } => Some(Self::MemoryFill { memory: mem }),
            Operator::MemoryCopy { dst_mem, src_mem } => Some(Self::MemoryCopy {
                to: dst_mem,
                from: src_mem,
            }),
            Operator::MemoryInit { data_index, mem } => Some(Self::MemoryInit {
                memory: mem,
                data: data_index,
            }),
            Operator::TableFill { table } => Some(Self::TableFill { table }),
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Some(Self::TableCopy {
                to: dst_table,
                from: src_table,
            }),
            Operator::TableInit { elem_index, table } => Some(Self::TableInit {
                table,
                elements: elem_index,
            }),
            _ => None,
        }
    }

    /// Its name in the text format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MemoryFill { .. } => "memory.fill",
            Self::MemoryCopy { .. } => "memory.copy",
            Self::MemoryInit { .. } => "memory.init",
            Self::TableFill { .. } => "table.fill",
            Self::TableCopy { .. } => "table.copy",
            Self::TableInit { .. } => "table.init",
        }
    }

    /// How much of it is done at one go.
    pub(super) fn piece(self, pieces: Pieces) -> u32 {
        match self {
            Self::MemoryFill { .. } | Self::MemoryCopy { .. } | Self::MemoryInit { .. } => {
                pieces.bytes
            }
            Self::TableFill { .. } | Self::TableCopy { .. } | Self::TableInit { .. } => {
                pieces.elements
            }
        }
    }

    /// Whether so much of it is within what is `left`, which it takes then.
    pub(super) fn fits(self, len: u32, left: &mut Pieces) -> bool {
        let rest = self.piece(*left).checked_sub(len);
        match (self, rest) {
            (_, None) => return false,
            (
                Self::MemoryFill { .. } | Self::MemoryCopy { .. } | Self::MemoryInit { .. },
                Some(rest),
            ) => left.bytes = rest,
            (_, Some(rest)) => left.elements = rest,
        }
        true
    }

    /// The types of its operands, in a module whose tables hold `elements`; nothing if it has no
    /// such table, or one that preview 1 programs have no need of.
    pub(super) fn params(self, elements: &[wasmparser::RefType]) -> Option<[ValType; 3]> {
        let what = match self {
            Self::TableFill { table } => {
                let element = elements.get(usize::try_from(table).ok()?)?;
                ValType::Ref(match *element {
                    wasmparser::RefType::FUNCREF => RefType::FUNCREF,
                    wasmparser::RefType::EXTERNREF => RefType::EXTERNREF,
                    _ => return None,
                })
            }
            _ => ValType::I32,
        };
        Some([ValType::I32, what, ValType::I32])
    }

    /// Whether its second operand is a place, which goes along with the first.
    fn has_source(self) -> bool {
        !matches!(self, Self::MemoryFill { .. } | Self::TableFill { .. })
    }

    /// Whether what it writes may be what it has yet to read: an imported memory or table may have
    /// several indices.
    fn may_overlap(self) -> bool {
        matches!(self, Self::MemoryCopy { .. } | Self::TableCopy { .. })
    }

    /// The instruction itself, for operands on the stack.
    fn put(self, code: &mut InstructionSink<'_>) {
        match self {
            Self::MemoryFill { memory } => code.memory_fill(memory),
            Self::MemoryCopy { to, from } => code.memory_copy(to, from),
            Self::MemoryInit { memory, data } => code.memory_init(memory, data),
            Self::TableFill { table } => code.table_fill(table),
            Self::TableCopy { to, from } => code.table_copy(to, from),
            Self::TableInit { table, elements } => code.table_init(table, elements),
        };
    }

    /// A function with the operands as parameters that does the same in `pieces`.
    pub(super) fn in_pieces(self, pieces: Pieces) -> Function {
        let piece = self.piece(pieces).cast_signed();
        let mut function = Function::new([]);
        let mut code = function.instructions();
        self.at_one_go_if(&mut code, |code| {
            code.local_get(LEN).i32_const(piece).i32_le_u();
        });
        // Beyond 4 GiB nothing is within bounds, and the instruction says so.
        for place in self.places() {
            self.at_one_go_if(&mut code, |code| {
                code.local_get(*place).local_get(LEN).i32_add();
                code.local_get(*place).i32_lt_u();
            });
        }
        // Nothing, at the end.
        self.operands(&mut code, |code| {
            code.local_get(LEN).i32_add();
        });
        code.i32_const(0);
        self.put(&mut code);
        if self.may_overlap() {
            self.backward(&mut code, piece);
        }
        self.forward(&mut code, piece);
        code.end();
        function
    }

    /// The operands that are places.
    fn places(self) -> &'static [u32] {
        match self.has_source() {
            true => &[TO, FROM],
            false => &[TO],
        }
    }

    /// The first two operands, the places among them moved by `moved`.
    fn operands(self, code: &mut InstructionSink<'_>, moved: impl Fn(&mut InstructionSink<'_>)) {
        for operand in [TO, FROM] {
            code.local_get(operand);
            if self.places().contains(&operand) {
                moved(code);
            }
        }
    }

    fn whole(self, code: &mut InstructionSink<'_>) {
        code.local_get(TO).local_get(FROM).local_get(LEN);
        self.put(code);
    }

    fn at_one_go_if(
        self,
        code: &mut InstructionSink<'_>,
        condition: impl Fn(&mut InstructionSink<'_>),
    ) {
        condition(code);
        code.if_(BlockType::Empty);
        self.whole(code);
        code.return_().end();
    }

    /// For a source that lies before its destination: what is read last is written last.
    fn backward(self, code: &mut InstructionSink<'_>, piece: i32) {
        code.local_get(FROM).local_get(TO).i32_lt_u();
        code.if_(BlockType::Empty).loop_(BlockType::Empty);
        code.local_get(LEN)
            .i32_const(piece)
            .i32_sub()
            .local_set(LEN);
        self.operands(code, |code| {
            code.local_get(LEN).i32_add();
        });
        code.i32_const(piece);
        self.put(code);
        code.local_get(LEN)
            .i32_const(piece)
            .i32_gt_u()
            .br_if(0)
            .end();
        self.whole(code);
        code.return_().end();
    }

    fn forward(self, code: &mut InstructionSink<'_>, piece: i32) {
        code.loop_(BlockType::Empty);
        code.local_get(TO).local_get(FROM).i32_const(piece);
        self.put(code);
        for place in self.places() {
            code.local_get(*place)
                .i32_const(piece)
                .i32_add()
                .local_set(*place);
        }
        code.local_get(LEN)
            .i32_const(piece)
            .i32_sub()
            .local_tee(LEN);
        code.i32_const(piece).i32_gt_u().br_if(0).end();
        self.whole(code);
    }
}
