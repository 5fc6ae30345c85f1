import hashlib
import io
import json
import tarfile
from pathlib import Path

from devcluster.oci import write_archive
from devcluster.runtime import single_file_image

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _image(folder: Path, *layers: bytes) -> list[str]:
    digests = [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in (b"config", *layers)]
    for digest, blob in zip(digests, (b"config", *layers), strict=True):
        (folder / digest.partition(":")[2]).write_bytes(blob)
    manifest = {
        "mediaType": MANIFEST_TYPE,
        "config": {"digest": digests[0]},
        "layers": [{"digest": digest} for digest in digests[1:]],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return digests


def test_layers_that_the_node_has_are_not_sent_again(tmp_path: Path) -> None:
    config, base, code = _image(tmp_path, b"base", b"code")
    out = io.BytesIO()
    assert write_archive(tmp_path, "localhost/x:dev", {config, base}, out) == [config, code]
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        names = tar.getnames()
        index_file = tar.extractfile("index.json")
        assert index_file is not None
        entry = json.load(index_file)["manifests"][0]
    assert f"blobs/{base.replace(':', '/')}" not in names
    assert f"blobs/{entry['digest'].replace(':', '/')}" in names
    assert entry["annotations"] == {"io.containerd.image.name": "localhost/x:dev"}


def test_a_layer_that_comes_twice_is_sent_once(tmp_path: Path) -> None:
    config, layer, _ = _image(tmp_path, b"same", b"same")
    assert write_archive(tmp_path, "x", (), io.BytesIO()) == [config, layer]


def test_the_image_of_one_program_describes_its_layer() -> None:
    archive = single_file_image("localhost/pause:dev", "pause", b"program")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = {}
        for name in tar.getnames():
            file = tar.extractfile(name)
            assert file is not None
            members[name] = file.read()
    manifest = json.loads(members["manifest.json"])[0]
    config = json.loads(members[manifest["Config"]])
    assert manifest["RepoTags"] == ["localhost/pause:dev"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(members['layer.tar']).hexdigest()}"]
