"""The package against the library: python -m unittest discover -s tests."""

import hashlib
import hmac
import io
import os
import pathlib
import random
import tempfile
import threading
import unittest

import propeller_ces as ces

KEY = bytes(range(1, 33))
OTHER = bytes(32 * [9])
VECTORS = pathlib.Path(
    os.environ.get("PROPELLER_TEST_VECTORS", pathlib.Path(__file__).parents[3] / "testdata" / "vectors")
)


def sealed(plain, keys=KEY, **options):
    files = [io.BytesIO() for _ in range(options.get("data", 3) + options.get("parity", 2))]
    chosen = ces.Options(**{"data": 3, "parity": 2, "segment_size": 65536, **options})
    info = ces.encode(io.BytesIO(plain), files, keys, chosen)
    return [file.getvalue() for file in files], info


class Pipelines(unittest.TestCase):
    def test_bytes_come_back_whatever_four_shards_are(self):
        for length in (0, 1, 100_000, 3 << 20):
            data = random.Random(length).randbytes(length)
            with ces.Pipeline(KEY) as pipeline:
                shards = pipeline.process(data)
            self.assertEqual((len(shards), len(set(map(len, shards)))), (12, 1))
            shards[0] = None
            shards[11] = None
            shards[5] = shards[5][:10]
            shards[7] = bytes([*shards[7][:-200], shards[7][-200] ^ 1, *shards[7][-199:]])
            with ces.Pipeline(KEY, level=19) as pipeline:
                self.assertEqual(pipeline.reconstruct(shards), data)
                few = [shard for i, shard in enumerate(shards) if i not in (0, 5, 7, 11)]
                self.assertEqual(pipeline.reconstruct(few[::-1]), data)
                with self.assertRaisesRegex(ces.LostError, "shard 10 is missing"):
                    pipeline.reconstruct(few[:-1])

    def test_bytes_like_objects_are_taken(self):
        with ces.Pipeline(KEY, level=0) as pipeline:
            shards = pipeline.process(bytearray(b"text"))
            views = [memoryview(shard) for shard in shards]
            self.assertEqual(pipeline.reconstruct(views), b"text")

    def test_a_missing_key_is_an_error_and_never_a_random_one(self):
        os.environ.pop("CES_ENCRYPTION_KEY", None)
        with self.assertRaisesRegex(ces.InvalidKeyError, "there is no key in CES_ENCRYPTION_KEY"):
            ces.Pipeline.from_environment()
        try:
            os.environ["CES_ENCRYPTION_KEY"] = "not-to-be-shown"
            with self.assertRaises(ces.InvalidKeyError) as caught:
                ces.Pipeline.from_environment()
            self.assertNotIn("not-to-be-shown", str(caught.exception))
            os.environ["CES_ENCRYPTION_KEY"] = KEY.hex()
            self.assertEqual(ces.key_from_environment(), KEY)
            shards = ces.Pipeline.from_environment().process(b"x")
        finally:
            os.environ.pop("CES_ENCRYPTION_KEY", None)
        self.assertEqual(ces.Pipeline(KEY).reconstruct(shards), b"x")
        with self.assertRaises(ces.KeyNotAtHandError):
            ces.Pipeline.ephemeral().reconstruct(shards)

    def test_what_is_no_key_or_level_is_refused(self):
        for key in (b"", KEY[:31], KEY + b"x"):
            with self.assertRaises(ces.InvalidKeyError):
                ces.Pipeline(key)
        with self.assertRaises(TypeError):
            ces.Pipeline(KEY.hex())
        for level in (-1, 23, 1 << 32):
            with self.assertRaises(ces.ArgumentError):
                ces.Pipeline(KEY, level)

    def test_a_closed_pipeline_says_so(self):
        pipeline = ces.Pipeline(KEY)
        pipeline.close()
        pipeline.close()
        with self.assertRaises(ValueError):
            pipeline.process(b"x")
        self.assertNotIn(KEY.hex()[:8], repr(pipeline))

    def test_threads_share_a_pipeline(self):
        data = random.Random(1).randbytes(300_000)
        failed = []

        def work(pipeline):
            try:
                assert pipeline.reconstruct(pipeline.process(data)[4:]) == data
            except BaseException as error:
                failed.append(error)

        with ces.Pipeline(KEY) as pipeline:
            threads = [threading.Thread(target=work, args=(pipeline,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(failed, [])


class Keys(unittest.TestCase):
    def test_keys_of_tenants_are_those_of_the_recipe(self):
        master = bytes(range(40))
        for tenant in ("acme", "zürich", "a\0b"):
            pseudorandom = hmac.digest(b"wgt-ces-v1", master, "sha256")
            expected = hmac.digest(pseudorandom, b"ces-pipeline-" + tenant.encode() + b"\x01", "sha256")
            self.assertEqual(ces.tenant_key(master, tenant), expected)
        with self.assertRaises(ces.InvalidKeyError):
            ces.tenant_key(master[:31], "acme")
        with self.assertRaises(ces.InvalidKeyError):
            ces.tenant_key(master, "")

    def test_ids_name_keys_without_revealing_them(self):
        self.assertEqual(ces.key_id(bytes(range(32))), "854e2f1e83aded11")
        self.assertNotEqual(ces.random_key(), ces.random_key())
        self.assertEqual(repr(ces.Keys(bytes(range(32)))), "Keys(854e2f1e83aded11)")


class Streams(unittest.TestCase):
    def test_files_are_read_whole_and_in_ranges(self):
        plain = random.Random(2).randbytes(5 * 65536 + 1234)
        keys = ces.Keys(KEY, label="production")
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, str(i)) for i in range(5)]
            files = [path.open("wb", buffering=0) for path in paths]
            options = ces.Options(
                data=3, parity=2, cipher=ces.Cipher.AES_256_GCM, segment_size=65536, threads=2
            )
            info = ces.encode(io.BytesIO(plain), files, keys, options)
            for file in files:
                file.close()
            self.assertEqual((info.plain_len, info.label, info.segments), (len(plain), "production", 6))
            self.assertEqual(info.key_id, ces.key_id(KEY))
            shards = [paths[4].open("rb"), None, paths[2].open("rb"), b"no shard", paths[0].open("rb")]
            with ces.Reader(shards, keys, digest=info.digest, label="production", threads=2) as reader:
                self.assertEqual(reader.info, info)
                self.assertEqual(reader.read(), plain)
                out = io.BytesIO()
                self.assertEqual(reader.copy_to(out), len(plain))
                self.assertEqual(out.getvalue(), plain)
                self.assertEqual(reader.read_at(65530, 70_000), plain[65530 : 65530 + 70_000])
                self.assertEqual(reader.read_at(len(plain), 0), b"")
                for offset, length in ((len(plain), 1), (0, len(plain) + 1), (1 << 63, 1 << 62)):
                    with self.assertRaises(ces.RangeError):
                        reader.read_at(offset, length)
                reader.seek(-10, io.SEEK_END)
                self.assertEqual((reader.read(100), reader.read(1)), (plain[-10:], b""))
                lines = io.BufferedReader(reader, 1000)
                lines.seek(65536)
                self.assertEqual(lines.read(5), plain[65536:65541])
                self.assertIn("shard 1 is missing; shard 3 is missing", reader.damage)
            for file in shards:
                if hasattr(file, "close"):
                    file.close()
        with self.assertRaises(ValueError):
            reader.read_at(0, 1)

    def test_every_use_of_a_key_is_told(self):
        told = []
        keys = ces.Keys(KEY, label="test", audit=told.append)
        shards, info = sealed(b"text", keys)
        files = [io.BytesIO() for _ in range(12)]
        with ces.Writer(files, keys) as writer:
            writer.write(b"text")
        ces.Reader(shards, keys).close()
        with self.assertRaises(ces.LostError):
            ces.Reader(shards[:1], keys)
        self.assertEqual([event.action for event in told], ["wrapped", "wrapped", "unwrapped"])
        expected = ces.Event("wrapped", ces.key_id(KEY), "test", info.object_id)
        self.assertEqual(told[0], expected)

        def no_log(event):
            raise OSError("no log")

        with self.assertRaisesRegex(OSError, "no log"):
            sealed(b"text", ces.Keys(KEY, audit=no_log))
        with self.assertRaisesRegex(OSError, "no log"):
            with ces.Writer(files, ces.Keys(KEY, audit=no_log)) as writer:
                writer.write(b"text")

    def test_a_writer_takes_plaintext_as_it_comes(self):
        plain = random.Random(3).randbytes(200_001)
        options = ces.Options(data=3, parity=2, segment_size=65536)
        files = [io.BytesIO() for _ in range(5)]
        with ces.Writer(files, KEY, options) as writer:
            for at in range(0, len(plain), 777):
                self.assertEqual(writer.write(memoryview(plain)[at : at + 777]), len(plain[at : at + 777]))
        self.assertEqual(writer.info.plain_len, len(plain))
        with ces.Reader([file.getvalue() for file in files[2:]], KEY) as reader:
            self.assertEqual(reader.read(), plain)
        with self.assertRaises(ValueError):
            writer.write(b"more")

        class Full(io.RawIOBase):
            def write(self, data):
                raise OSError(28, "no space left")

        with self.assertRaisesRegex(OSError, "no space left"):
            with ces.Writer([*files[:4], Full()], KEY, options) as broken:
                broken.write(b"text")
        with self.assertRaises(KeyError):
            with ces.Writer([io.BytesIO() for _ in range(5)], KEY, options) as aborted:
                raise KeyError
        self.assertIsNone(aborted.info)

    def test_another_key_or_object_or_label_is_refused(self):
        shards, info = sealed(b"text", label="test")
        with self.assertRaises(ces.KeyNotAtHandError):
            ces.Reader(shards, OTHER)
        with self.assertRaises(ces.RefusedError):
            ces.Reader(shards, KEY, label="production")
        with self.assertRaises(ces.RefusedError):
            ces.Reader(shards, KEY, digest=bytes(32))
        with self.assertRaises(ces.LostError):
            ces.Reader(shards, KEY, object_id="00" * 16)
        with self.assertRaises(ces.ArgumentError):
            ces.Reader(shards, KEY, digest=b"short")
        with self.assertRaises(ces.LostError):
            ces.Reader([], KEY)
        with ces.Reader(shards, ces.Keys(OTHER, older=[KEY]), object_id=info.object_id) as reader:
            self.assertEqual(reader.read(), b"text")

    def test_what_a_file_raises_is_raised_again(self):
        class Full(io.RawIOBase):
            def write(self, data):
                raise OSError(28, "no space left")

        class Broken(io.RawIOBase):
            def read(self, length=-1):
                raise KeyboardInterrupt

            def seek(self, offset, whence=0):
                return 1000

        files = [io.BytesIO(), io.BytesIO(), Full(), io.BytesIO(), io.BytesIO()]
        options = ces.Options(data=3, parity=2)
        with self.assertRaisesRegex(OSError, "no space left"):
            ces.encode(b"text", files, KEY, options)
        with self.assertRaises(KeyboardInterrupt):
            ces.encode(Broken(), [io.BytesIO() for _ in range(5)], KEY, options)
        with self.assertRaises(KeyboardInterrupt):
            ces.Reader([Broken()], KEY)
        with self.assertRaises(ces.ArgumentError):
            ces.encode(b"text", files[:4], KEY, options)
        for wrong in ({"data": 0}, {"level": 23}, {"segment_size": 65537}, {"threads": 0}, {"label": "A"}):
            chosen = ces.Options(**{"data": 3, "parity": 2, **wrong})
            with self.assertRaises(ces.ArgumentError):
                ces.encode(b"text", [io.BytesIO() for _ in range(chosen.data + 2)], KEY, chosen)

    def test_shards_of_two_objects_are_repaired_for_who_knows_the_digest(self):
        mine, info = sealed(b"a text")
        others, _ = sealed(b"another")
        both = [*mine[:3], *others]
        rebuilt = io.BytesIO()
        with self.assertRaises(ces.ArgumentError):
            ces.repair(both, {4: rebuilt})
        self.assertEqual(rebuilt.getvalue(), b"")
        ces.repair(both, {4: rebuilt}, digest=info.digest)
        self.assertEqual(rebuilt.getvalue(), mine[4])

    def test_shards_are_verified_repaired_and_rotated(self):
        shards, info = sealed(b"a text")
        report = ces.verify(shards, digest=info.digest)
        self.assertTrue(report.whole and report.readable and report.damage == "" and report.agreeing == 0)
        lost = shards[4]
        damaged = [*shards[:4], lost[:150] + bytes([lost[150] ^ 1]) + lost[151:]]
        report = ces.verify(damaged[1:])
        self.assertTrue(not report.whole and report.readable and report.agreeing == 3)
        self.assertIn("input 3 (shard 4)", report.damage)
        rebuilt = io.BytesIO()
        ces.repair(damaged, {4: rebuilt}, digest=info.digest)
        self.assertEqual(rebuilt.getvalue(), lost)
        with self.assertRaises(ces.ArgumentError):
            ces.repair(damaged, {5: rebuilt}, digest=info.digest)
        turned = [ces.rotate(shard[:120], KEY, OTHER) + shard[120:] for shard in shards]
        self.assertEqual([ces.rotate(shard[:120], KEY, OTHER) for shard in turned], [s[:120] for s in turned])
        with ces.Reader(turned, OTHER, digest=info.digest) as reader:
            self.assertEqual(reader.read(), b"a text")
        with self.assertRaises(ces.KeyNotAtHandError):
            ces.Reader(turned, KEY)


class Large(unittest.TestCase):
    @unittest.skipUnless(
        os.environ.get("PROPELLER_TEST_LARGE"),
        "it takes 9 GiB of memory: `cargo xtask soak` runs it, by PROPELLER_TEST_LARGE",
    )
    def test_more_than_two_gibibytes_come_back(self):
        # More than 31 bits can count.
        data = random.Random(1).randbytes(1 << 20) * 2048 + b"8 bytes."
        with ces.Pipeline(KEY, level=0) as pipeline:
            shards = pipeline.process(data)
            self.assertTrue(pipeline.reconstruct(shards[2:]) == data)


class Vectors(unittest.TestCase):
    def vector(self, path):
        head, body = path.read_text().split("\n\n", 1)
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        shards = []
        for line in body.splitlines():
            if line.startswith("shard "):
                shards.append(None if line.endswith(": missing") else b"")
            else:
                shards[-1] += bytes.fromhex(line)
        return fields, shards

    def test_shards_of_the_older_implementation_are_read_or_refused(self):
        seen = 0
        for path in sorted((VECTORS / "ces-v0").glob("*.txt")):
            fields, shards = self.vector(path)
            key, data, parity = bytes.fromhex(fields["key"]), int(fields["data"]), int(fields["parity"])
            limit = int(fields["limit"])
            with self.subTest(path.name):
                if fields["expect"] == "ok":
                    plain = ces.reconstruct_v0(key, shards, data, parity, limit)
                    self.assertEqual(hashlib.sha256(plain).hexdigest(), fields["plain-sha256"])
                    if (data, parity) == (8, 4):
                        self.assertEqual(ces.Pipeline(key).reconstruct(shards), plain)
                    if path.name == "ok-zstd.txt":
                        # One of ours among them is one of theirs that is missing.
                        ours = ces.Pipeline(key).process(b"another object")[0]
                        self.assertEqual(ces.Pipeline(key).reconstruct([ours, *shards[1:]]), plain)
                else:
                    with self.assertRaises(ces.CesError):
                        ces.reconstruct_v0(key, shards, data, parity, limit)
                seen += 1
        self.assertGreaterEqual(seen, 34)


if __name__ == "__main__":
    unittest.main()
