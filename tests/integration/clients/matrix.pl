# Drives Cache::Memcached::Fast or Cache::Memcached through all it can do, and says what came back; as matrix.py.
# matrix.pl MODULE HOST:PORT TAG JSON-OPTIONS
use strict;
use warnings;
use Data::Dumper;
use Digest::MD5 'md5_hex';
use JSON::PP;

my ($module, $address, $tag, $options) = @ARGV;
$options = decode_json($options);
$Data::Dumper::Terse = $Data::Dumper::Indent = $Data::Dumper::Sortkeys = $Data::Dumper::Useqq = 1;
eval "require $module" or die $@;
my %settings = (servers => [$address], compress_threshold => 10_000);
$settings{namespace} = $options->{namespace} if $options->{namespace};
my $fast = $module eq 'Cache::Memcached::Fast';
%settings = (%settings, nowait => $options->{nowait} // 0, utf8 => 1, connect_timeout => 5, io_timeout => 10) if $fast;
my $c = $module->new({%settings});
my @keys;
my $json = JSON::PP->new->ascii;

sub say_it {
    my ($name, $result) = @_;
    my $text = Dumper($result);
    $text = substr($text, 0, 100) . '... ' . length($text) . ', ' . md5_hex($text) if length($text) > 600;
    print $json->encode([$name, $text]), "\n";
    return $result;
}

my %values = (text => "Gr\x{fc}\x{df}e \x{20ac} $tag", bytes => "\x80\xff\x00\r\nEND\r\nVALUE other 0 5\r\nhello\r\n$tag", empty => '',
    integer => 42, double => 1.25, list => [1, 'x', $tag], hash => {id => 7, tag => $tag},
    '100k' => "0123456789abcdef$tag" x 5000, large => "\r\nEND\r\n $tag" x 60000);
delete $values{text} unless $fast;    # Cache::Memcached takes bytes
for my $name (sort keys %values) {
    say_it("get before $name", $c->get("v-$name"));
    say_it("set $name", $c->set("v-$name", $values{$name}));
    say_it("get $name", $c->get("v-$name"));
    push @keys, "v-$name";
}
for my $key ('k', 'l' x (250 - length($options->{namespace} // ''))) {
    say_it('set', $c->set($key, "${tag}1"));
    say_it('add', $c->add($key, "${tag}2"));
    say_it('replace', $c->replace($key, "${tag}3"));
    if ($fast) {
        say_it('append', $c->append($key, '!'));
        say_it('prepend', $c->prepend($key, '<'));
        my $got = $c->gets($key);
        say_it('gets', $got->[1]);
        say_it('cas', $c->cas($key, $got->[0], "$tag swapped"));
        say_it('cas again', $c->cas($key, $got->[0], "$tag lost"));
        say_it('touch', $c->touch($key, 1000));
        my $touched = $c->gats(1000, $key);
        say_it('gats', $touched->[1]);
        say_it('gat', $c->gat(1000, $key));
    }
    say_it('get', $c->get($key));
    push @keys, $key;
}
say_it('delete', $c->delete('k'));
say_it('delete again', $c->delete('k'));
say_it('replace missing', $c->replace('k', 'x'));
say_it('incr missing', $c->incr('n', 1));
say_it('set n', $c->set('n', 10));
say_it('incr', $c->incr('n', 5));
say_it('decr', $c->decr('n', 3));
say_it('decr below zero', $c->decr('n', 100));
say_it('get n', $c->get('n'));
say_it('incr text', $c->incr($keys[-1], 1));
my @many = map { "many$_" } 0 .. 119;
if ($fast) {
    say_it('set_multi', $c->set_multi(map { ["many$_", "$tag$_"] } 0 .. 119));
    say_it('add_multi', $c->add_multi(['many1', 'x'], ['fresh', $tag]));
    say_it('gets_multi', [sort map { $_->[1] } values %{$c->gets_multi(@many[0 .. 9])}]);
    say_it('incr_multi', $c->incr_multi(['n', 2], 'n'));
    say_it('gat_multi', $c->gat_multi(1000, @many[0 .. 9]));
    say_it('touch_multi', $c->touch_multi(['many0', 1000], ['many1'], ['no', 5]));
} else {
    $c->set("many$_", "$tag$_") for 0 .. 119;
}
say_it('get_multi', $c->get_multi(@many, map { "no$_" } 0 .. 50));
if ($fast) { say_it('delete_multi', $c->delete_multi(@many[0 .. 59])) } else { $c->delete($_) for @many[0 .. 59] }
say_it('get_multi after', $c->get_multi(@many));
# without a reply: the answers are not waited for, and none is taken for another's
for my $number (0 .. 59) {
    $c->set("p$number", "$tag$number");
    $c->delete("nothing$number");
    $c->incr("nothing$number", 1);
    say_it('wrong', $number) if $c->get("p$number") ne "$tag$number";
    push @keys, "p$number";
}
say_it('set with a time', $c->set('t', $tag, 1000));
say_it('set too large', $c->set('toolarge', join('', map { chr(int(($_ * 7919 % 65537) / 257)) } 1 .. 1_500_000)));
say_it('get after it', $c->get('t'));
say_it('set a key that is too long', $c->set('o' x 251, 'x'));
$c->disconnect_all;
say_it('get after that', $c->get('t'));
say_it('nowait_push', $c->nowait_push) if $fast;
push @keys, 'n', 't', 'many100';
if ($options->{flush}) {
    say_it('flush_all', $c->flush_all);
    say_it('get after flush_all', $c->get('t'));
    say_it('set after flush_all', $c->set('t', $tag));
}
$c->disconnect_all;
say_it('get over a new connection', $c->get('t'));
my $prefix = $options->{namespace} // '';
print $json->encode(['keys', [map { "$prefix$_" } @keys]]), "\n";
