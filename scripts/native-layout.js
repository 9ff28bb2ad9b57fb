// What both languages must agree on, as Rust: limits, error table, names with numbers, and every
// offset of the shared memories. Written from the compiled contracts by `npm run generate`; a test
// compares the file with them.
import * as errors from '../dist/src/contracts/errors.js';
import * as headers from '../dist/src/contracts/header-names.js';
import * as indexLayout from '../dist/src/contracts/index-layout.js';
import * as limits from '../dist/src/contracts/limits.js';
import * as request from '../dist/src/contracts/request.js';
import * as shared from '../dist/src/contracts/shared-layout.js';

export const NATIVE_LAYOUT_FILE = 'native/core/src/layout.rs';

/** The content of NATIVE_LAYOUT_FILE. */
export function nativeLayout() {
  return [
    '//! Limits, error table and shared-memory offsets, generated from `src/contracts` by',
    '//! `npm run generate`. Do not edit.',
    '',
    '/// Every hard bound of the program (`limits.ts` gives unit and reason).',
    ...section('limits', limits),
    '/// Encode records, speculative residencies, publisher counters (`shared-layout.ts`).',
    ...section('shared', shared),
    '/// The block index (`index-layout.ts`).',
    ...section('index', indexLayout),
    ...names('ROUTES', 'Routes by their number', request.ROUTES),
    ...names('NO_MATCH_REASONS', 'Reasons by their number', request.NO_MATCH_REASONS),
    ...names('OWN_HEADERS', 'Headers of one connection (`header-names.ts`)', headers.OWN_HEADERS),
    ...names('RESERVED_PREFIXES', 'Headers that steer routers', headers.RESERVED_PREFIXES),
    ...names('WISH_PREFIXES', 'Headers that are for the router alone', headers.WISH_PREFIXES),
    ...names('TELLING_HEADERS', 'Headers that make a request telling', headers.TELLING_HEADERS),
    ...text(
      'ENDPOINT_SUBSET_HEADER',
      "The gateway's header with a say",
      headers.ENDPOINT_SUBSET_HEADER,
    ),
    ...text('MODEL_REWRITE_HEADER', 'Asks for another model', headers.MODEL_REWRITE_HEADER),
    ...text('OLD_MODEL_REWRITE_HEADER', 'As llm-d spelled it', headers.OLD_MODEL_REWRITE_HEADER),
    ...text('SESSION_OF_OLD_CODEX', 'The name with an underscore', headers.SESSION_OF_OLD_CODEX),
    ...errorTable(),
  ].join('\n');
}

function section(name, exported) {
  const lines = [];
  for (const [key, value] of Object.entries(exported)) {
    if (typeof value === 'number') lines.push(`    pub const ${key}: ${typed(value)};`);
    else if (isNumbers(value)) lines.push(...offsets(key, value));
  }
  return [`pub mod ${name} {`, ...lines, '}', ''];
}

function offsets(name, table) {
  const lines = Object.entries(table).map(
    ([key, value]) => `        pub const ${upper(key)}: usize = ${value};`,
  );
  return [`    pub mod ${name.toLowerCase()} {`, ...lines, '    }'];
}

function names(name, what, list) {
  const head = `pub const ${name}: [&str; ${list.length}] = [`;
  const oneLine = `${head}${list.map((one) => JSON.stringify(one)).join(', ')}];`;
  const lines = list.map((one) => `    ${JSON.stringify(one)},`);
  // As rustfmt lays it out.
  const text = oneLine.length <= 100 ? [oneLine] : [head, ...lines, '];'];
  return [`/// ${what}.`, ...text, ''];
}

function text(name, what, value) {
  return [`/// ${what}.`, `pub const ${name}: &str = ${JSON.stringify(value)};`, ''];
}

function errorTable() {
  const lines = errors.ERROR_CODES.map((code) => {
    const { status, source, type, dropped } = errors.ERRORS[code];
    return [
      '    ErrorDefinition {',
      `        code: ${JSON.stringify(code)},`,
      `        status: ${status},`,
      `        source: ${JSON.stringify(source)},`,
      `        kind: ${JSON.stringify(type)},`,
      `        dropped: ${dropped === null ? 'None' : `Some(${JSON.stringify(dropped)})`},`,
      '    },',
    ].join('\n');
  });
  return [
    '/// One row of the error table (`errors.ts`); `kind` is `error.type` of the body.',
    'pub struct ErrorDefinition {',
    "    pub code: &'static str,",
    '    pub status: u16,',
    "    pub source: &'static str,",
    "    pub kind: &'static str,",
    "    pub dropped: Option<&'static str>,",
    '}',
    '',
    '/// Errors by their number.',
    `pub const ERRORS: [ErrorDefinition; ${errors.ERROR_CODES.length}] = [`,
    ...lines,
    '];',
    '',
    '/// Numbers of the errors.',
    'pub mod error {',
    ...errors.ERROR_CODES.map((code, at) => `    pub const ${code.toUpperCase()}: usize = ${at};`),
    '}',
    '',
  ];
}

function typed(value) {
  if (!Number.isInteger(value)) return `f64 = ${value}`;
  return `usize = ${value >= 10_000 ? grouped(value) : value}`;
}

function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '_');
}

function isNumbers(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'number')
  );
}

function upper(name) {
  return name.replace(/([A-Z])/g, '_$1').toUpperCase();
}
