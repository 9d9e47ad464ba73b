"""Signals, arguments and files that no program should have: python -m unittest discover -s tests."""

import contextlib
import gc
import io
import random
import signal
import sys
import time
import unittest
import weakref
from unittest import mock

import propeller_ces as ces

from test_ces import KEY, OTHER, sealed


class Interrupted(Exception):
    """A signal came."""


class Interruptions(unittest.TestCase):
    """A signal's handler raises wherever Python is, callbacks included."""

    PLAIN = random.Random(5).randbytes(40 * 65536)
    OPTIONS = ces.Options(data=3, parity=2, level=0, segment_size=65536)

    def interrupted(self, work, check, rounds):
        """Runs ``work`` under a storm of signals: what returns has to be right."""

        def handler(*_):
            raise Interrupted

        def quiet(_):
            # ctypes tells what it swallowed.
            swallowed.append(1)

        swallowed, ended, seed = [], [0, 0], random.Random(7)
        started = time.monotonic()
        work()
        usual = time.monotonic() - started
        old, hook = signal.signal(signal.SIGALRM, handler), sys.unraisablehook
        sys.unraisablehook = quiet
        try:
            for _ in range(rounds):
                result = None
                try:
                    try:
                        # Now and then none comes before the end.
                        signal.setitimer(signal.ITIMER_REAL, max(1e-6, seed.random() * 1.5 * usual))
                        result = work()
                    finally:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                except (Interrupted, ces.CesError):
                    ended[1] += 1
                    continue
                ended[0] += 1
                check(result)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            sys.unraisablehook = hook
        self.assertTrue(all(ended), f"returned and failed: {ended}, swallowed: {len(swallowed)}")

    def whole(self, files):
        shards = [file.getvalue() for file in files]
        self.assertEqual(len({len(shard) for shard in shards}), 1)
        self.assertTrue(ces.verify(shards).whole)
        with ces.Reader(shards, KEY) as reader:
            self.assertTrue(reader.read() == self.PLAIN, "the object is not what was sealed")

    def test_an_object_is_whole_or_there_is_an_error(self):
        def work():
            files = [io.BytesIO() for _ in range(5)]
            ces.encode(Slow(self.PLAIN), files, KEY, self.OPTIONS)
            return files

        self.interrupted(work, self.whole, 120)

    def test_a_writers_object_is_whole_or_there_is_an_error(self):
        def work():
            files = [io.BytesIO() for _ in range(5)]
            with ces.Writer(files, KEY, self.OPTIONS) as writer:
                for at in range(0, len(self.PLAIN), 65536):
                    writer.write(self.PLAIN[at : at + 65536])
            return files

        self.interrupted(work, self.whole, 60)

    def test_a_copy_is_whole_or_there_is_an_error(self):
        shards, _ = sealed(self.PLAIN, level=0)

        def work():
            out = io.BytesIO()
            with ces.Reader(shards, KEY) as reader:
                return reader.copy_to(out), out.getvalue()

        def check(result):
            self.assertTrue(result == (len(self.PLAIN), self.PLAIN), "a copy is not what was sealed")

        self.interrupted(work, check, 60)

    def test_whatever_ctypes_swallows_is_an_error(self):
        """Each kind of callback, raising where no ``try`` of it is entered yet."""
        shards, info = sealed(b"a text of some length", data=1, parity=0)
        options = ces.Options(data=1, parity=0)
        keys = ces.Keys(KEY, audit=lambda event: None)

        def copy():
            with ces.Reader(shards, KEY) as reader:
                reader.copy_to(io.BytesIO())

        works = (
            ("Calls.reader.", lambda: ces.encode(b"text", [io.BytesIO()], KEY, options)),
            ("Calls.writer.", lambda: ces.encode(b"text", [io.BytesIO()], KEY, options)),
            ("Calls.writer.", copy),
            ("Calls.read_at.", lambda: ces.verify(shards, digest=info.digest)),
            ("Ring.tell.", lambda: ces.encode(b"text", [io.BytesIO()], keys, options)),
        )
        for name, work in works:
            work()
            with self.subTest(name), self.lost(name):
                with self.assertRaisesRegex(ces.CesError, "an exception was lost"):
                    work()

    @contextlib.contextmanager
    def lost(self, name):
        """The first callback of this name raises at its very beginning, as a signal's handler may."""
        raised, swallowed = [], []

        def trace(frame, event, _):
            # What this function raises is raised at the very beginning of the callback.
            code = frame.f_code
            run = frame.f_locals.get("run") if code.co_name == "callback" else None
            if (run.__qualname__ if run else f"Ring.tell.{code.co_name}").startswith(name) and not raised:
                if run or code.co_name == "told":
                    raised.append(1)
                    raise Interrupted

        with mock.patch.object(sys, "unraisablehook", swallowed.append):
            sys.settrace(trace)
            try:
                yield
            finally:
                sys.settrace(None)
        self.assertEqual((len(raised), len(swallowed)), (1, 1))

    def test_a_writer_that_lost_an_exception_gives_no_object(self):
        writer = ces.Writer([io.BytesIO()], KEY, ces.Options(data=1, parity=0))
        with self.lost("Calls.writer."):
            with self.assertRaisesRegex(ces.CesError, "an exception was lost"):
                writer.write(b"text")
        with self.assertRaises(ValueError):
            writer.write(b"text")
        with self.assertRaisesRegex(ces.CesError, "the writer failed before"):
            writer.close()
        self.assertIsNone(writer.info)


class Slow(io.RawIOBase):
    """Plaintext that takes Python a while, so that signals come where its code is."""

    def __init__(self, plain):
        self.plain = io.BytesIO(plain)

    def read(self, length=-1):
        return self.plain.read(min(length, 8192))


class Arguments(unittest.TestCase):
    def test_a_number_is_no_bytes(self):
        pipeline = ces.Pipeline(KEY)
        shards, info = sealed(b"text")
        writer = ces.Writer([io.BytesIO() for _ in range(12)], KEY)
        for wrong in (5, "text", None):
            for call in (
                lambda: pipeline.process(wrong),
                lambda: ces.Pipeline(wrong),
                lambda: ces.tenant_key(wrong, "acme"),
                lambda: ces.key_id(wrong),
                lambda: ces.rotate(wrong, KEY, OTHER),
                lambda: writer.write(wrong),
            ):
                with self.assertRaises(TypeError):
                    call()
        with self.assertRaises(TypeError):
            pipeline.reconstruct([7] * 12)
        with self.assertRaises(TypeError):
            ces.reconstruct_v0(KEY, [7] * 12)
        with self.assertRaises(TypeError):
            ces.Reader(shards, KEY, digest=32)
        writer.abort()

    def test_lengths_are_those_of_bytes(self):
        eight = memoryview(KEY).cast("I")
        self.assertEqual(ces.key_id(eight), ces.key_id(KEY))
        with self.assertRaises(ces.InvalidKeyError):
            ces.key_id(memoryview(4 * KEY).cast("I"))
        files = [io.BytesIO() for _ in range(12)]
        with ces.Writer(files, KEY) as writer:
            self.assertEqual(writer.write(eight), 32)
        with ces.Reader((file.getvalue() for file in files), KEY) as reader:
            self.assertEqual(reader.read(), KEY)
        with ces.Pipeline(KEY) as pipeline:
            self.assertEqual(pipeline.reconstruct(pipeline.process(eight)), KEY)

    def test_a_key_of_zeros_is_refused(self):
        zeros = bytes(32)
        shards, _ = sealed(b"text")
        for call in (
            lambda: ces.Pipeline(zeros),
            lambda: ces.key_id(zeros),
            lambda: sealed(b"text", zeros),
            lambda: ces.Reader(shards, ces.Keys(KEY, older=[zeros])),
            lambda: ces.rotate(shards[0][:120], KEY, zeros),
            lambda: ces.reconstruct_v0(zeros, shards),
        ):
            with self.assertRaisesRegex(ces.InvalidKeyError, "nothing but zeros"):
                call()

    def test_a_label_with_a_nul_is_refused(self):
        shards, info = sealed(b"text", label="test")
        for call in (
            lambda: sealed(b"text", label="test\0x"),
            lambda: sealed(b"text", ces.Keys(KEY, label="test\0")),
            lambda: ces.Reader(shards, KEY, label="test\0x"),
        ):
            with self.assertRaisesRegex(ces.ArgumentError, "no NUL"):
                call()

    def test_a_file_that_says_it_took_what_cannot_be_is_refused(self):
        class Wrong(io.BytesIO):
            def write(self, data):
                return given(data)

        for given in (lambda data: 0, lambda data: -1, lambda data: len(data) + 1, lambda data: "all"):
            files = [io.BytesIO() for _ in range(4)] + [Wrong()]
            with self.assertRaisesRegex(ValueError, "says that it took"):
                ces.encode(b"text", files, KEY, ces.Options(data=3, parity=2))

    def test_a_writer_that_failed_gives_no_object_when_it_is_closed(self):
        class Full(io.RawIOBase):
            def write(self, data):
                raise OSError(28, "no space left")

        writer = ces.Writer([Full()], KEY, ces.Options(data=1, parity=0))
        with self.assertRaisesRegex(OSError, "no space left"):
            writer.write(b"text")
        with self.assertRaises(ces.CesError):
            writer.close()
        self.assertTrue(writer.closed and writer.info is None)
        writer.close()

    def test_what_was_called_back_is_not_kept(self):
        class Sink(io.BytesIO):
            pass

        files = [Sink() for _ in range(12)]
        gone = [weakref.ref(file) for file in files]
        gc.collect()
        gc.disable()
        try:
            ces.encode(b"text", files, KEY)
            shards = [io.BytesIO(file.getvalue()) for file in files]
            gone += [weakref.ref(shard) for shard in shards]
            with ces.Reader(shards, KEY) as reader:
                self.assertEqual(reader.read(), b"text")
            ces.verify(shards)
            del files, reader, shards
            self.assertEqual([ref() for ref in gone], [None] * 24)
        finally:
            gc.enable()

    def test_what_fails_half_way_is_freed(self):
        shards, _ = sealed(b"text")
        lib, keys = ces._stream.lib, ces.Keys(KEY, audit=mock.Mock(side_effect=Interrupted))
        for free, make in (
            ("ces2_reader_free", lambda: ces.Reader(shards, keys)),
            ("ces2_writer_free", lambda: ces.Writer([io.BytesIO() for _ in range(12)], keys)),
        ):
            freed = []
            real = getattr(lib, free)

            def counted(handle):
                freed.append(bool(handle))
                real(handle)

            with mock.patch.object(lib, free, counted):
                try:
                    make()
                except Interrupted as error:
                    # What it came from is still there, and kept by nothing else.
                    self.assertEqual(freed, [True], error.__traceback__)
                else:
                    self.fail("it was made")

    def test_a_pipeline_is_freed_once_whatever_is_raised(self):
        pipeline, freed = ces.Pipeline(KEY), []

        def free(handle):
            freed.append(handle)
            raise Interrupted

        with mock.patch.object(ces._pipeline.lib, "ces_free", free):
            with self.assertRaises(Interrupted):
                pipeline.close()
        handle = freed[0]
        del pipeline
        self.assertEqual(freed, [handle])
        ces._pipeline.lib.ces_free(handle)

    def test_a_file_that_takes_a_part_is_asked_again(self):
        class Sparing(io.BytesIO):
            def write(self, data):
                return super().write(bytes(data)[:100])

        plain = random.Random(6).randbytes(3000)
        files = [Sparing() for _ in range(5)]
        info = ces.encode(plain, files, KEY, ces.Options(data=3, parity=2))
        with ces.Reader([file.getvalue() for file in files], KEY, digest=info.digest) as reader:
            out = Sparing()
            self.assertEqual(reader.copy_to(out), len(plain))
        self.assertEqual(out.getvalue(), plain)
        rebuilt = {4: Sparing()}
        ces.repair([file.getvalue() for file in files[:4]], rebuilt, digest=info.digest)
        self.assertEqual(rebuilt[4].getvalue(), files[4].getvalue())

    def test_what_is_not_read_to_its_end_is_no_object(self):
        """As if the library had taken what ctypes left for the end of the plaintext."""
        options = ces.Options(data=1, parity=0)
        with mock.patch.object(ces._calls.Tally, "ended", property(lambda _: False, lambda *_: None), create=True):
            with self.assertRaisesRegex(ces.CesError, "not read to its end"):
                ces.encode(b"text", [io.BytesIO()], KEY, options)
        with mock.patch.object(ces._calls.Tally, "given", property(lambda _: 3, lambda *_: None), create=True):
            with self.assertRaisesRegex(ces.CesError, "3 bytes of plaintext were given, and 4 taken"):
                ces.encode(b"text", [io.BytesIO()], KEY, options)
            writer = ces.Writer([io.BytesIO()], KEY, options)
            writer.write(b"text")
            with self.assertRaisesRegex(ces.CesError, "3 bytes of plaintext were given, and 4 taken"):
                writer.close()
            self.assertIsNone(writer.info)


if __name__ == "__main__":
    unittest.main()
