"""Chat templates: the text and the ids of transformers' `apply_chat_template`, for templates of published styles."""

import json
import shutil

import pytest
import transformers

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.interop.chat.template import find_template
from minigpt.interop.hf.special_files import token_names
from minigpt.models import GPT, GPTConfig

from ..interop.files import gpt2_folder

pytestmark = pytest.mark.parity

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|end_head|>", "<|eot|>", "[INST]", "[/INST]"]
TEMPLATES = {
    "chatml": """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}""",
    "instructions": """{%- set told = '' %}{%- if messages[0]['role'] == 'system' -%}
  {%- set told = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' -%}{%- set messages = messages[1:] -%}
{%- endif -%}
{%- for m in messages -%}
  {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('roles must take turns, and here is ' ~ m.role) -}}
  {%- endif -%}
  {%- if m.role == 'user' -%}
    {{- bos_token + '[INST] ' + (told if loop.first else '') + m.content.strip() + ' [/INST]' -}}
  {%- else -%}{{- ' ' + m.content + ' ' + eos_token -}}{%- endif -%}
{%- endfor -%}""",
    "headers": """{{- bos_token }}{%- set ns = namespace(n=0, date=strftime_now('%Y')) %}
{%- for m in messages %}{%- set ns.n = ns.n + 1 %}
    {{- '<|head|>' + m['role'] + '<|end_head|>\\n\\n' + m['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if date_string is not defined %}{{- 'Today: ' + ns.date ~ ' ' ~ ns.n }}{% endif %}
{%- if not tools is none %}{{- raise_exception('there are tools') }}{%- endif %}
{{- '<|head|>assistant<|end_head|>\\n\\n' if add_generation_prompt }}""",
    "renamed roles": """{% macro turn(role, text) %}<start>{{ role }}
{{ text | trim }}<end>
{% endmacro %}
{%- for m in messages if m.role != 'system' %}
{{- turn('model' if m.role == 'assistant' else m.role, m.content) }}
{%- endfor %}{{ pad_token }}{{ unk_token | default('none', true) }}<start>model
""",
    "json and loops": """{%- for m in messages -%}
{%- if m.content == 'stop' %}{% break %}{% endif -%}{%- if not m.content %}{% continue %}{% endif -%}
{{ m | tojson }} {{ dict(a=[1, 'é'], b=none) | tojson(indent=2) }} {{ m.content.split(' ') | first | upper }}
{%- endfor %} {{ messages | map(attribute='role') | join(',') }} {{ messages[::-1][0].content | length }}
{%- set x = dict.fromkeys(['k'], 1) %} {{ x.items() | list }} {{ '%05.1f' % 2.25 }} {{ "{:>4}".format(7) }}""",
    "generation": """{% set seen = 'outer' %}{% for m in messages %}
    {%- if m.role == 'assistant' %}{% generation %}{% set seen = 'in' %}{{ m.content + eos_token }}{% endgeneration %}
    {%- else %}{{ m.role + ': ' + m.content + '\\n' }}{% endif %}
{% endfor %}{{ seen }} {# a remark #}

{% raw %}{{ not filled }}{% endraw %}
""",
}
TALKS = {
    "one question": [("user", " What is this? ")],
    "with a system": [
        *(("system", "Be brief."), ("user", "Hello, it's\nme </s> <|im_end|>"), ("assistant", "Yes. 日本é")),
        ("user", "stop"),
    ],
    "out of turn": [("user", "One."), ("user", "")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    text = "Hello, it's me. What is this? Be brief. user assistant system\n"
    tokenizer = tokenizers.train("bpe", [text], 300, special_tokens=SPECIAL)
    model = GPT(GPTConfig(vocab_size=300, context=128, layers=1, heads=1, width=2))
    return gpt2_folder(tmp_path_factory.mktemp("chat") / "hf", model, tokenizer)


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_ids_are_those_of_transformers(name, place, folder):
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text()) | {"chat_template": None, "eos_token": {"content": "</s>"}}
    if place == config.name:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        config.write_text(json.dumps(settings | {"chat_template": TEMPLATES[name]}))
    else:
        (folder / place).write_text(TEMPLATES[name])
        config.write_text(json.dumps(settings))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), minigpt.load(folder)
    template = find_template(folder, ours.tokenizer, ours.ids)
    refused = 0
    for talk in TALKS.values():
        messages = [{"role": role, "content": content} for role, content in talk]
        try:
            expected = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except Exception as error:
            refused += 1
            with pytest.raises(UserError, match=f"its chat template fails: {error}"):
                template.text(messages)
            continue
        text = template.text(messages)
        assert text == expected
        ids = theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert ours.tokenizer.encode(text, allowed="all") == ids
    assert refused == (name == "instructions")


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", None])
def test_tokens_that_no_file_names_are_those_of_the_class(name, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "special_tokens_map.json").unlink()
    settings = {"tokenizer_class": name, "pad_token": {"content": "<s>", "__type": "AddedToken"}}
    (copy / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if v}))
    assert token_names(copy) == transformers.AutoTokenizer.from_pretrained(copy).special_tokens_map


@pytest.mark.parametrize("to", ["run", "hf", "gguf"])
def test_a_template_goes_where_its_model_goes(to, folder, tmp_path):
    """Through `convert`: to a run, and from there to another folder or a file."""
    (folder / "chat_template.jinja").write_text(TEMPLATES["headers"])
    messages = [{"role": "user", "content": "Hello"}]
    expected = transformers.AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, tokenize=False)
    source, target = folder, tmp_path / "run"
    for kind in ["run"] if to == "run" else ["run", to]:
        target = tmp_path / kind
        assert main(["convert", str(source), str(target), "--to", kind]) == 0
        source = target
    loaded = minigpt.load(target)
    found = find_template(target, loaded.tokenizer, loaded.ids)
    assert found.text(messages) == expected + "<|head|>assistant<|end_head|>\n\n"
    if to == "hf":
        again = transformers.AutoTokenizer.from_pretrained(target)
        assert again.apply_chat_template(messages, tokenize=False) == expected
