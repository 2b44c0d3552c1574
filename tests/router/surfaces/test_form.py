"""Forms with a file: what is read of them, and that no node can read another model in one."""

import time

import pytest

from dpl_router.errors import BadRequest, Unsupported
from dpl_router.surfaces.form import MAX_PARTS, Form, read_form

PLAIN = "multipart/form-data; boundary=abc"
SOUND = b"RIFF\r\n\r\n\x00\xff\n--ab\r--a"


def field(name: bytes, value: bytes, more: bytes = b"", head: bytes = b"") -> bytes:
    """A part as nearly all clients write it; `more` follows its name, `head` the whole line."""
    return b'Content-Disposition: form-data; name="%b"%b\r\n%b\r\n%b' % (name, more, head, value)


def sound(data: bytes = SOUND) -> bytes:
    return field(b"file", data, b'; filename="a.wav"', b"Content-Type: audio/wav\r\n")


def form(*parts: bytes, boundary: bytes = b"abc") -> bytes:
    edge = b"--" + boundary
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"


MODEL = field(b"model", b"any")
WHOLE = form(MODEL, sound())


def model_in(read: Form, body: bytes) -> bytes:
    (start, end) = read.fields[b"model"]
    return body[start:end]


@pytest.mark.parametrize(
    "content_type",
    [
        PLAIN,
        "Multipart/Form-Data; boundary=abc",
        "multipart/form-data; Boundary=abc",
        'multipart/form-data;boundary="abc"',
        "multipart/form-data; charset=utf-8; boundary=abc",
        'multipart/form-data ;\tboundary=abc ; charset="utf-8"',
    ],
)
def test_every_legal_spelling_of_the_type_is_told_to_the_node_in_one(content_type: str) -> None:
    read = read_form(WHOLE, content_type)

    assert read.content_type == PLAIN
    assert model_in(read, WHOLE) == b"any"
    assert set(read.fields) == {b"model"}


@pytest.mark.parametrize(
    ("boundary", "told"),
    [
        ("----WebKitFormBoundaryAbC", "----WebKitFormBoundaryAbC"),
        ('"----=_Part_0_1.2"', '"----=_Part_0_1.2"'),
        ("----=_Part_0_1.2", '"----=_Part_0_1.2"'),
    ],
)
def test_a_boundary_that_is_no_token_goes_on_in_quotes(boundary: str, told: str) -> None:
    body = form(MODEL, sound(), boundary=boundary.strip('"').encode())

    read = read_form(body, f"multipart/form-data; boundary={boundary}")

    assert read.content_type == f"multipart/form-data; boundary={told}"


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=abc"]
)
def test_what_is_no_form_is_not_supported(content_type: str) -> None:
    with pytest.raises(Unsupported):
        read_form(WHOLE, content_type)


@pytest.mark.parametrize(
    "rest",
    [
        "boundary=abc; boundary*=utf-8''def",
        "boundary*=utf-8''def; boundary=abc",
        "boundary*0=a; boundary=abc",
        "boundary=abc; boundary=def",
        "boundary=abc; Boundary=abc",
        'boundary="ab\\c"',
        "boundary=abc\x0bfoo",
        "boundary=abc def",
        "boundary=abc\tdef",
        "boundary=abc, multipart/form-data; boundary=def",
        "boundary=",
        'boundary=""',
        "boundary=" + "a" * 71,
        "boundary=\xe4bc",
        'boundary="abc',
        'boundary=abc; x="\\"; boundary=def; y="',
    ],
)
def test_a_type_that_two_could_read_in_two_ways_is_refused(rest: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_form(WHOLE, "multipart/form-data; " + rest)

    assert refused.value.status == 400


ODD_HEADS = {
    "bare LF": b'X-A: b\nContent-Disposition: form-data; name="model"\r\n',
    "bare CR": b'X-A: b\rContent-Disposition: form-data; name="model"\r\n',
    "NUL": b"X-A: \x00\r\n",
    "vertical tab": b"X-A: \x0b\r\n",
    "space before the colon": b'Content-Disposition : form-data; name="model"\r\n',
    "a folded line": b'X: y\r\n Content-Disposition: form-data; name="model"\r\n',
    "no colon": b"X\r\n",
    "a second disposition": b'Content-Disposition: form-data; name="model"\r\n',
    "quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n",
    "base64": b"content-transfer-encoding:base64\r\n",
    "two encodings": b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n",
}


@pytest.mark.parametrize("head", ODD_HEADS.values(), ids=ODD_HEADS)
@pytest.mark.parametrize("first", [True, False])
def test_a_parts_head_of_another_grammar_is_refused(head: bytes, first: bool) -> None:
    odd = head + field(b"prompt", b"x") if first else field(b"prompt", b"x", head=head)
    with pytest.raises(BadRequest):
        read_form(form(MODEL, odd), PLAIN)


@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data",
        b"form-data; name=",
        b'form-data; name="a"; name="model"',
        b'form-data; name="a"; filename="x"; name=model',
        b'form-data; name="a"; filename="x\\"; name=model; x=""',
        b'form-data; name="a"; filename="x\\"',
        b"form-data; name=\"a\"; filename*=utf-8''x, name=model",
        b"form-data; name=\"a\"; name*=utf-8''model",
        b'form-data; name="mo\\del"',
        b'attachment; name="a"',
        b'form-data; name="Model"',
        b'form-data; name="model "',
        b'form-data; name="STREAM"',
    ],
)
def test_a_disposition_without_one_plain_name_is_refused(disposition: bytes) -> None:
    odd = b"Content-Disposition: " + disposition + b"\r\n\r\nevil"
    with pytest.raises(BadRequest):
        read_form(form(MODEL, odd), PLAIN)


@pytest.mark.parametrize(
    "head",
    [
        b'content-disposition:form-data;Name="model"\r\n',
        b"Content-Type: text/plain\r\nContent-Disposition: form-data; name=model\r\n",
        b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: 8bit\r\n',
    ],
)
def test_the_plain_spellings_of_real_clients_are_read(head: bytes) -> None:
    named = "filename=\"\u00e4\\b c.wav\"; filename*=utf-8''%c3%a4.wav".encode()
    body = form(field(b"file", SOUND, b"; " + named), head + b"\r\nany")

    assert model_in(read_form(body, PLAIN), body) == b"any"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--abc--\r\n"[:-4],
        WHOLE[:-4],
        b"x\r\n" + WHOLE,
        b"\r\n" + WHOLE,
        WHOLE[:-2] + b"x\r\n",
        WHOLE[:-2] + b"x\r\n" + form(field(b"model", b"evil")),
        WHOLE + form(field(b"model", b"evil")),
        WHOLE.replace(b"--abc\r\n", b"--abc \r\n"),
        WHOLE.replace(b"--abc\r\n", b"--abcd\r\n"),
        form(field(b"prompt", b"x\n--abc\r\n" + field(b"model", b"evil")), MODEL),
        form(field(b"prompt", b"x\r--abc\r\n" + field(b"model", b"evil")), MODEL),
        form(MODEL, MODEL),
        form(MODEL, field(b"stream", b"true"), field(b"stream", b"false")),
    ],
)
def test_a_body_that_two_could_cut_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_form(body, PLAIN)


def test_a_form_may_end_without_its_last_line_end() -> None:
    assert model_in(read_form(WHOLE[:-2], PLAIN), WHOLE) == b"any"


def test_the_model_is_where_it_was_read_and_never_inside_a_file() -> None:
    decoy = sound(b'name="model"\r\n\r\nany\r\n--x')
    body = form(decoy, field(b"prompt", b'name="model"\r\n\r\nany'), MODEL)

    assert read_form(body, PLAIN).fields[b"model"][0] == body.rindex(b"any")


@pytest.mark.parametrize("named", [b'; filename="a"', b"; filename*=utf-8''a"])
def test_a_model_in_a_file_is_refused(named: bytes) -> None:
    with pytest.raises(BadRequest, match="model"):
        read_form(form(field(b"model", b"any", named)), PLAIN)


def test_a_form_of_very_many_parts_is_refused() -> None:
    assert read_form(form(MODEL, *[field(b"a", b"x")] * (MAX_PARTS - 1)), PLAIN).fields
    with pytest.raises(BadRequest, match="parts"):
        read_form(form(MODEL, *[field(b"a", b"x")] * MAX_PARTS), PLAIN)


@pytest.mark.parametrize(
    "piece", [b'name="model"\r\n', b"\r\n--ab", b"\r\n\r\n", b"\n-", b"a: b\r\n"]
)
def test_no_form_takes_longer_than_its_size_allows(piece: bytes) -> None:
    much = piece * (4_000_000 // len(piece))
    began = time.perf_counter()

    read_form(form(sound(much), field(b"prompt", much), MODEL), PLAIN)
    with pytest.raises(BadRequest):
        read_form(form(b"X-A: " + much + b"\x00\r\n" + MODEL, MODEL), PLAIN)
    with pytest.raises(BadRequest):
        read_form(WHOLE, PLAIN + "; a=b" * 10_000 + "\x00")

    assert time.perf_counter() - began < 10.0
