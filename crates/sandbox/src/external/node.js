// Runs one module in Node's WASI. Descriptors: 3 the module, 4 what to do, 5 what became of it.
'use strict';
const fs = require('node:fs');
const { WASI } = require('node:wasi');

const job = JSON.parse(fs.readFileSync('/proc/self/fd/4', 'utf8'));
const view = new DataView(new ArrayBuffer(8));

// Numbers travel as their bits: JavaScript's text for them is not WebAssembly's.
const reads = {
  i32: (bits) => Number(BigInt.asIntN(32, bits)),
  i64: (bits) => BigInt.asIntN(64, bits),
  f32: (bits) => (view.setBigUint64(0, bits), view.getFloat32(4)),
  f64: (bits) => (view.setBigUint64(0, bits), view.getFloat64(0)),
};
const writes = {
  i32: (value) => BigInt.asUintN(32, BigInt(value)),
  i64: (value) => BigInt.asUintN(64, value),
  f32: (value) => (view.setUint32(0, 0), view.setFloat32(4, value), view.getBigUint64(0)),
  f64: (value) => (view.setFloat64(0, value), view.getBigUint64(0)),
};

function end(answer) {
  fs.writeSync(5, JSON.stringify(answer));
  process.exit(0);
}

function failed(error) {
  if (typeof error === 'symbol') return { exited: wasi[error] };
  const text = String(error && error.message).slice(0, 4096);
  if (error instanceof RangeError && text.includes('call stack')) return 'stack';
  if (error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.Exception) {
    const frames = String(error.stack).split('\n').slice(1);
    const names = frames.map((line) => /^ +at (.*) \(wasm:/.exec(line) || /^ +at wasm:.*-function\[(\d+)\]/.exec(line));
    return { trapped: [text, ...names.filter(Boolean).map((name) => name[1]).slice(0, 20)].join('\n') };
  }
  return { refused: text };
}

const wasi = new WASI({
  version: 'preview1',
  args: [job.name, ...job.args],
  env: Object.fromEntries(job.env),
  returnOnExit: true,
});

let instance;
try {
  const module = new WebAssembly.Module(fs.readFileSync('/proc/self/fd/3'));
  instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport });
} catch (error) {
  end(failed(error));
}

// WASI insists on a memory, also of guests that have none.
const memory = instance.exports.memory instanceof WebAssembly.Memory
  ? instance.exports.memory
  : new WebAssembly.Memory({ initial: 0 });
const found = instance.exports;
try {
  if (job.command) end({ exited: wasi.start({ exports: { memory, _start: found._start } }) });
  wasi.initialize({ exports: job.initialize ? { memory, _initialize: found._initialize } : { memory } });
  const params = job.params.map(([type, bits]) => reads[type](BigInt(bits)));
  const value = found[job.function](...params);
  const values = job.results.length === 1 ? [value] : job.results.length ? [...value] : [];
  end({ returned: values.map((value, at) => String(writes[job.results[at]](value))) });
} catch (error) {
  end(failed(error));
}
