<?php
// Drives php-memcached through all it can do, and says what came back; as matrix.py.
// matrix.php HOST:PORT TAG JSON-OPTIONS
[$_, $address, $tag, $options] = $argv;
[$host, $port] = explode(':', $address);
$options = json_decode($options, true);
$m = new Memcached();
$m->setOption(Memcached::OPT_BINARY_PROTOCOL, $options['binary'] ?? false);
$m->setOption(Memcached::OPT_TCP_NODELAY, $options['nodelay'] ?? false);
$m->setOption(Memcached::OPT_NO_BLOCK, $options['no_block'] ?? false);
$m->setOption(Memcached::OPT_BUFFER_WRITES, $options['buffer'] ?? false);
if (isset($options['serializer'])) {
    $m->setOption(Memcached::OPT_SERIALIZER, constant('Memcached::SERIALIZER_' . $options['serializer']));
}
if (isset($options['prefix'])) {
    $m->setOption(Memcached::OPT_PREFIX_KEY, $options['prefix']);
}
$m->addServer($host, (int)$port);
$keys = [];

function say($name, $result)
{
    global $m;
    $text = var_export($result, true) . ' / ' . $m->getResultCode();
    if (strlen($text) > 600) {
        $text = substr($text, 0, 100) . '... ' . strlen($text) . ', ' . sha1($text);
    }
    echo json_encode([$name, $text], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
    return $result;
}

$values = [
    'text' => "Gr\u{fc}\u{df}e " . $tag, 'bytes' => "\x80\xff\x00\r\nEND\r\nVALUE other 0 5\r\nhello\r\n" . $tag,
    'empty' => '', 'zero' => 0, 'integer' => 42, 'large' => 1 << 40, 'negative' => -7, 'double' => 1.25, 'true' => true,
    'false' => false, 'null' => null, 'list' => [1, 2.5, 'x', $tag], 'map' => ['id' => 7, 'tag' => $tag],
    'object' => (object)['a' => $tag], 'compressed' => str_repeat($tag . 'abc', 3000), 'digits' => '12345',
    'large' => str_repeat("\r\nEND\r\n " . $tag, 60000),
];
foreach ($values as $name => $value) {
    say("get before $name", $m->get("v-$name"));
    say("set $name", $m->set("v-$name", $value));
    say("get $name", $m->get("v-$name"));
    $keys[] = "v-$name";
}
$long = str_repeat('l', 250 - strlen($options['prefix'] ?? ''));
foreach (['k', $long] as $key) {
    say('set', $m->set($key, $tag . '1'));
    say('add', $m->add($key, $tag . '2'));
    say('replace', $m->replace($key, $tag . '3'));
    $m->setOption(Memcached::OPT_COMPRESSION, false);
    say('set uncompressed', $m->set($key, $tag));
    say('append', $m->append($key, '!'));
    say('prepend', $m->prepend($key, '<'));
    $m->setOption(Memcached::OPT_COMPRESSION, true);
    say('get', $m->get($key));
    $got = $m->get($key, null, Memcached::GET_EXTENDED);
    say('get extended', [$got['value'], $got['flags']]);
    say('cas', $m->cas($got['cas'], $key, $tag . 'swapped'));
    say('cas again', $m->cas($got['cas'], $key, $tag . 'lost'));
    say('get swapped', $m->get($key));
    say('touch', $m->touch($key, 1000));
    $keys[] = $key;
}
say('delete', $m->delete('k'));
say('delete again', $m->delete('k'));
say('replace missing', $m->replace('k', 'x'));
say('touch missing', $m->touch('k', 10));
say('increment missing', $m->increment('n'));
if ($options['binary'] ?? false) {
    say('increment from', $m->increment('n2', 5, 100, 0));
    say('increment from again', $m->increment('n2', 5, 100, 0));
    say('decrement from', $m->decrement('n3', 5, 7, 1000));
    array_push($keys, 'n2', 'n3');
}
say('set n', $m->set('n', 10));
say('increment', $m->increment('n', 5));
say('decrement', $m->decrement('n', 3));
say('decrement below zero', $m->decrement('n', 100));
say('get n', $m->get('n'));
say('increment text', $m->increment($long));
$many = [];
for ($i = 0; $i < 120; $i++) {
    $many["many$i"] = "$tag$i";
}
say('setMulti', $m->setMulti($many));
say('getMulti', $m->getMulti(array_merge(array_keys($many), ['no1', 'no2']), Memcached::GET_PRESERVE_ORDER));
say('getDelayed', $m->getDelayed(array_slice(array_keys($many), 0, 30), true));
$got = $m->fetchAll();
sort($got);
say('fetchAll', array_map(fn($each) => [$each['key'], $each['value']], $got));
say('deleteMulti', $m->deleteMulti(array_slice(array_keys($many), 0, 60)));
say('getMulti after', $m->getMulti(array_keys($many)));
say('get with a callback', $m->get('made', function ($m, $key, &$value) use ($tag) {
    $value = "$tag made";
    return true;
}));
say('get what it made', $m->get('made'));
$m->setOption(Memcached::OPT_USER_FLAGS, 4711);
say('set with user flags', $m->set('uf', $tag));
$m->setOption(Memcached::OPT_USER_FLAGS, -1);
$got = $m->get('uf', null, Memcached::GET_EXTENDED);
say('get user flags', [$got['value'], $got['flags']]);
say('set with a time', $m->set('t', $tag, 1000));
$m->setOption(Memcached::OPT_COMPRESSION, false);
say('set too large', $m->set('toolarge', str_repeat('v', 1500000)));
$m->setOption(Memcached::OPT_COMPRESSION, true);
say('get after it', $m->get('t'));
say('set an empty key', $m->set('', 'x'));
say('set a key that is too long', $m->set(str_repeat('o', 251), 'x'));
say('set a key with a space', $m->set('a b', $tag));
say('get a key with a space', $m->get('a b'));
say('get after those', $m->get('t'));
say('getVersion', count($m->getVersion()) == 1);
say('setByKey', $m->setByKey('server', 'by', $tag));
say('getByKey', $m->getByKey('server', 'by'));
for ($i = 0; $i < 60; $i++) {
    $m->set("p$i", "$tag$i");
    if ($m->get("p$i") !== "$tag$i") {
        say('wrong', $i);
    }
    $keys[] = "p$i";
}
array_push($keys, 'n', 't', 'uf', 'made', 'by', 'many100');
if ($options['flush'] ?? false) {
    say('flush', $m->flush());
    say('get after flush', $m->get('t'));
    say('set after flush', $m->set('t', $tag));
}
$m->quit();
say('get over a new connection', $m->get('t'));
$prefix = $options['prefix'] ?? '';
echo json_encode(['keys', array_map(fn($key) => $prefix . $key, $keys)]), "\n";
