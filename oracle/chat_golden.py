#!/usr/bin/env python3
"""Writes crates/text/tests/golden/chat.json: templates in the manner of those that models bring,
and what `transformers` makes of conversations with them.

Usage: chat_golden.py OUT_DIR                     needs transformers
       chat_golden.py --render TEMPLATE_DIR       renders every *.jinja of a folder, as JSON lines

The templates here are ours; they call what real ones call.
"""
import datetime
import json
import sys
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import _compile_jinja_template

NOW = 1_709_208_000  # 29 February 2024, 12:00 UTC

TEMPLATES = {
    "chatml": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "headers_and_date": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "1 Jan 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|head|>system<|/head|>\\n\\nToday: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You may call:\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<|end|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|/head|>\\n\\n'+ message['content'] | trim + '<|end|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("Only one tool call at a time!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|end|>" }}
    {%- else %}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- '<|head|>tool<|/head|>' ~ message.content | tojson }}
        {%- else %}
            {{- '<|head|>tool<|/head|>' + message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\\n\\n' }}
{%- endif %}
""",
    "strict_turns": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}""",
    "renamed_roles": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first_user_prefix = messages[0]['content'] + '\\n\\n' %}{% set loop_messages = messages[1:] %}{% else %}{% set first_user_prefix = '' %}{% set loop_messages = messages %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start>' + role + '\\n' + (first_user_prefix if loop.first else '') }}{% if message['content'] is string %}{{ message['content'] | trim }}{% elif message['content'] is iterable %}{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<image>' }}{% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% else %}{{ raise_exception("Invalid content type") }}{% endif %}{{ '<end>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start>model\\n' }}{% endif %}""",
    "thinking": """{%- set ns = namespace(multi_step=true, last=messages|length - 1, calls=[]) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and not(message.content.startswith('<response>') and message.content.endswith('</response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if message.thought is string %}
            {%- set thought = message.thought %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|' + message.role + '|>\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|' + message.role + '|>\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<call>{"name": "' ~ tool_call.name ~ '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}</call>' }}
            {%- endfor %}
        {%- endif %}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (loop.previtem and loop.previtem.role != "tool") %}{{- '<|user|>' }}{%- endif %}
        {{- '\\n<response>\\n' + content + '\\n</response>' }}
        {%- if loop.last or loop.nextitem.role != "tool" %}{{- '<|end|>\\n' }}{%- endif %}
    {%- else %}
        {{- '<|' + message.role + '|>\\n' + content + '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "macros_and_loops": """{%- macro show(message, level=1) -%}
{{ '#' * level }} {{ message.role | upper }}: {{ message.content if message.content is string else message.content | map(attribute='text') | select('string') | join(' / ') }}
{%- endmacro -%}
{% set roles = messages | map(attribute='role') | list | unique | list %}
roles={{ roles | join(',') }} n={{ messages | length }} last={{ messages[-1].role }} {{ messages[0].keys() | list | sort | first }}
{% for m in messages %}
  {% if m.role == 'system' %}{% continue %}{% endif %}
  {% if loop.index > 3 %}{% break %}{% endif %}
{% generation %}{{ show(m, level=loop.index) }}{% endgeneration %}

{% endfor %}
{%- for key, value in (messages[0] | items) %}{{ key }}={{ value }};{% endfor %}
{{ none }} {{ true }} {{ 1.0 }} {{ 7 // 2 }} {{ [1, 'a', none, true] }} {{ {'a': 1, 'b': [false]} }} {{ "%s" | format("x") }}
{{ messages[0].get('name', 'anonymous') }} {{ undefined_name }} {{ undefined_name | default('d') }} {{ 'abc'[1:] }} {{ ' x '.strip() ~ 'Xy'.lower() }} {{ 'a-b-c'.replace('-', '+', 1) }} {{ 'Title case'.title() }} {{ ['x', 'y'] | tojson(separators=(',', ':')) }}
{%- set blk %}block {{ bos_token }}{% endset %}{{ blk | trim }}{# a comment #}
{{ {'b': 1, 'a': 'ü<&>"'} | tojson }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'ü' | tojson(ensure_ascii=true) }} {{ '<"&\\'>' | e }} {{ none is iterable }} {{ 'a' is iterable }}
""",
    "pythons_methods": """{{ 'a.b.c'.rsplit('.', 1) }} {{ ' x  y z '.rsplit() }} {{ 'x y  z'.rsplit(none, 1) }} {{ 'x-y'.rsplit('-', maxsplit=0) }} {{ 'k=v=w'.partition('=') | join('|') }} {{ 'k=v=w'.rpartition('=') | join('|') }} {{ 'kv'.partition('=') | join('|') }} {{ 'kv'.rpartition('=') | join('|') }}
{{ 'system: hi'.removeprefix('system: ') }} {{ 'hi.txt'.removesuffix('.txt') }} {{ 'hi'.removeprefix('x') }} {{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ '+1234'.zfill(2) }} [{{ 'ab'.ljust(5) }}] [{{ 'ab'.rjust(5, '.') }}] [{{ 'ab'.center(5) }}] [{{ 'abc'.center(6, '*') }}] [{{ 'ab'.center(4) }}]
{{ 'Hello World'.swapcase() }} {{ 'Straße'.casefold() }} {{ 'Hello World'.istitle() }} {{ 'Hello world'.istitle() }} {{ '12'.isdecimal() }} {{ ''.isdecimal() }} {{ 'abcabc'.index('c') }} {{ 'äbcabc'.rindex('c') }} [{{ 'a\tb\n\tc'.expandtabs(4) }}] {{ {'a': 1}.copy() }}
{{ 'one two-three four_five, 6!' | wordcount }} [{{ 'mid' | center(8) }}] {{ 'the quick brown fox jumps' | truncate(14) }} {{ 'the quick brown fox jumps' | truncate(14, true) }} {{ 'the quick brown fox jumps' | truncate(14, true, '…', 0) }} {{ 'short enough' | truncate(10) }} {{ 1000000 | filesizeformat }} {{ '<b>' | forceescape }}
{{ 'The quick brown fox jumps over the lazy dog, well-known since the eighteen-hundreds and extraordinarilylongwordsareheretoo.' | wordwrap(20) }}
{{ 'aaa bb-cc dd-ee-ff 2-3 x-y a--b' | wordwrap(6) }}|{{ 'averyveryverylongword and' | wordwrap(8, false) }}|{{ ' lead  two ' | wordwrap(4, wrapstring='/') }}
{{ 'ab cdefgh' | wordwrap(3) }}|{{ 'b--b c-c' | wordwrap(3, false, none, false) }}|{{ 'abc-defghijk lm' | wordwrap(5) }}|{{ 'x\n\ny' | wordwrap(1) }}
[{{ 'ab' | center(width=6) }}] [{{ 5 | center(4) }}] {{ 2048 | filesizeformat(binary=true) }} [{{ 'a'.ljust(-1) }}] {{ '5'.zfill(-2) }} [{{ 'a\tb'.expandtabs(tabsize=2) }}] {{ {none: 1, true: 2, 1.5: 3} | tojson }} {{ '\x7f' | tojson(ensure_ascii=true) }}
{% set c = cycler('odd', 'even') %}{% for m in messages %}{{ c.next() }} {% endfor %}{% set j = joiner(', ') %}{% for m in messages %}{{ j() }}{{ m.role }}{% endfor %}
{{ [1.0, 0.1, 1e16, 123456789012345680.0, 1e15, 1e-5, 0.0001, 1.5e300, -2.5e-7, 3.0e22, 100.0, 5e-324] | tojson }}
""",
    "sequences_and_loops": """{{ 'a' is sequence }} {{ {} is sequence }} {{ [] is sequence }} {{ (1, 2) is sequence }} {{ 1 is sequence }} {{ none is sequence }} {{ true is sequence }} {{ messages is sequence }} {{ messages[0] is sequence }}
{% for m in messages %}{% if m.content is sequence and m.content is not mapping %}{{ m.content[0] }}{{ m.content[-1] }}{{ m.content[1:4] }}{{ m.content[::-1] }}{% endif %}{% endfor %}
{% set c = cycler('a', 'b', 'c') %}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}{{ c.next() }}
{% for m in [1, 1, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('x', 'y') }}{{ loop.changed(m) }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for m in [1, [2, [3]]] recursive %}{% if m is iterable %}({{ loop(m) }}){% else %}{{ m }}{{ loop.depth }}{% endif %}{% endfor %}
{% set ns = namespace(n=0, l=[]) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.l = ns.l + [m.role] %}{% endfor %}{{ ns.n }}{{ ns.l }}{{ ns.other is defined }}
{{ '%05.2f|%s|%-5s|%d|%x|%%' % (3.14159, 'a', 'b', 42, 255) }} {{ '%(a)s' % {'a': 1} }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 'abcdef'[1:-1:2] }} {{ [1, 2, 3][5:] }}
""",
}

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather <at> a \"place\" & time",
         "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": 1}},
                        "required": ["place"]}}}]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CALL = {"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": {"place": "Åre", "days": 2, "exact": True, "unit": None}}}
CONVERSATIONS = {
    "one": ([user("Hello there")], {}),
    "system": ([{"role": "system", "content": " You are kind. "}, user(" Hi\n")], {}),
    "turns": ([user("1+1?"), assistant("2"), user("2+2?")], {}),
    "answered": ([user("Say “é水”"), assistant("é水")], {"add_generation_prompt": False}),
    "odd_roles": ([user("a"), user("b")], {}),
    "parts": ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]}], {}),
    "tools": ([user("Weather?"), assistant("", tool_calls=[CALL]), {"role": "tool", "content": "-3 °C"},
               assistant("Cold.")], {"tools": TOOLS}),
    "two_tools": ([user("Weather?"), assistant("Let me see", tool_calls=[CALL, CALL]), {"role": "tool", "content": "1"},
                   {"role": "tool", "content": "2"}], {"tools": TOOLS}),
    "thought": ([user("Why?"), assistant("<think>\nhm\n</think>\n\nBecause."), user("And?"),
                 assistant("So.", thought="first"), user("<response>x</response>")], {"enable_thinking": False}),
    "dated": ([user("Hi")], {"date_string": "2 May 2026", "enable_thinking": True}),
}


def strftime_now(format):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(format)


def render(template, messages, extra):
    values = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
              "strftime_now": strftime_now} | extra
    try:
        return {"text": _compile_jinja_template(template).render(messages=messages, **values)}
    except TemplateError as error:
        return {"error": str(error)}
    except TypeError as error:
        return {"error": str(error)}


def render_folder(folder):
    for path in sorted(Path(folder).glob("*.jinja")):
        template = path.read_text()
        for name, (messages, extra) in CONVERSATIONS.items():
            row = {"template": str(path), "name": name, "messages": messages, "extra": extra}
            try:
                row |= render(template, messages, extra)
            except Exception as error:  # a template that Python's engine does not take either
                row["error"] = f"{type(error).__name__}: {error}"
            print(json.dumps(row, ensure_ascii=False))


def main():
    if sys.argv[1] == "--render":
        return render_folder(sys.argv[2])
    cases = [[template, name, render(TEMPLATES[template], *CONVERSATIONS[name])]
             for template in TEMPLATES for name in CONVERSATIONS]
    document = {"now": NOW, "templates": TEMPLATES, "conversations": CONVERSATIONS, "cases": cases}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    (Path(sys.argv[1]) / "chat.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
