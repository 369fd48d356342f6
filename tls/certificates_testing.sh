#!/bin/sh
# Makes the certificates that the tests of this folder use, in the directory $1.
set -eu
cd "$1"

key() { # name
  [ -e "$1.key" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

request() { # name subject
  key "$1"
  openssl req -new -utf8 -key "$1.key" -subj "$2" -out "$1.csr"
}

authority() { # name
  key "$1"
  openssl req -x509 -new -key "$1.key" -sha256 -days 30 -subj "/CN=$1" -out "$1.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign
}

issue() { # name subject issuer extensions
  request "$1" "$2"
  printf '%b' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -sha256 -days 30 \
    -set_serial "0x$(openssl rand -hex 8)" -extfile "$1.ext" -out "$1.pem"
}

# With dates of one's own: only `openssl ca` takes them, and it wants a database.
issue_between() { # name subject begin end extensions [options]
  name=$1 begin=$3 end=$4
  request "$1" "$2"
  printf '%b' "$5" >"$1.ext"
  shift 5
  openssl ca -batch -notext -config ca.conf -in "$name.csr" -extfile "$name.ext" \
    -startdate "$begin" -enddate "$end" -out "$name.pem" "$@"
}

leaf='basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n'
for_server="${leaf}extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost\n"
for_client="${leaf}extendedKeyUsage=clientAuth\n"
for_authority='basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n'

authority ca
authority other-ca
issue middle /CN=middle ca "$for_authority"
issue server /CN=localhost middle "$for_server"
cat server.pem middle.pem >chain.pem
openssl genrsa -out rsa.key 2048
issue foreign /CN=localhost other-ca "$for_server"
issue rsa /CN=localhost ca "$for_server"

issue client /O=Acme/CN=sensor-7 ca "$for_client"
issue deep /O=Acme/CN=sensor-8 middle "$for_client"
cat deep.pem middle.pem >deep-chain.pem
issue stranger /O=Acme/CN=sensor-7 other-ca "$for_client"
issue wrong-use /O=Acme/CN=sensor-7 ca "$for_server"
units=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do printf '/OU=%060d' $i; done)
issue long "/O=Acme$units/CN=sensor-7" ca "$for_client"
issue names '/C=DE/O=A, B\+C/OU=#1/OU=Zoë/OU= x /CN=first/CN=second' ca "$for_client"

# Without extensions openssl makes version 1.
request version-1 /CN=sensor-7
openssl x509 -req -in version-1.csr -CA ca.pem -CAkey ca.key -sha256 -set_serial 7 -days 30 \
  -out version-1.pem

cat >ca.conf <<'END'
[ca]
default_ca = here
[here]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
unique_subject = no
policy = any
[any]
commonName = supplied
[delta]
2.5.29.27 = critical,DER:020101
END
: >index
echo 01 >serial
by_ca='-cert ca.pem -keyfile ca.key'
# shellcheck disable=SC2086 # options
{
  issue_between expired /CN=sensor-7 20200101000000Z 20200201000000Z "$for_client" $by_ca
  issue_between early /CN=sensor-7 20480101000000Z 20490101000000Z "$for_client" $by_ca
}
issue_between old-ca /CN=old-ca 20200101000000Z 20200201000000Z "$for_authority" \
  -selfsign -keyfile old-ca.key
issue_between early-ca /CN=early-ca 20480101000000Z 20490101000000Z "$for_authority" \
  -selfsign -keyfile early-ca.key
issue from-early-ca /CN=sensor-9 early-ca "$for_client"
cat old-ca.pem early-ca.pem ca.pem >bundle.pem

# One listener's certificates by server name, with keys of every kind.
mkdir names no-names
named() { # name algorithm...
  name=$1
  shift
  openssl genpkey "$@" -out "names/$name.key"
  openssl req -new -key "names/$name.key" -subj "/CN=$name" -out named.csr
  printf '%b' "${leaf}extendedKeyUsage=serverAuth\nsubjectAltName=DNS:$name\n" >named.ext
  openssl x509 -req -in named.csr -CA ca.pem -CAkey ca.key -sha256 -days 30 \
    -set_serial "0x$(openssl rand -hex 8)" -extfile named.ext -out "names/$name.pem"
}
named rsa.example -algorithm RSA -pkeyopt rsa_keygen_bits:2048
named ecdsa.example -algorithm EC -pkeyopt ec_paramgen_curve:P-384
named ed25519.example -algorithm ED25519
named '*.wild.example' -algorithm EC -pkeyopt ec_paramgen_curve:P-256

# Revocation lists. `revoke NAME AUTHORITY` goes into the authority's next list.
revoke() { # name issuer
  openssl ca -config ca.conf -cert "$2.pem" -keyfile "$2.key" -revoke "$1.pem"
}
list() { # file issuer options...
  file=$1 by=$2
  shift 2
  openssl ca -config ca.conf -cert "$by.pem" -keyfile "$by.key" -gencrl -out "$file" "$@"
}
issue revoked /O=Acme/CN=sensor-9 ca "$for_client"
issue lost /CN=lost ca "$for_authority"
issue from-lost /O=Acme/CN=sensor-10 lost "$for_client"
cat from-lost.pem lost.pem >from-lost-chain.pem
cp index index.before
list middle.crl middle -crldays 30
list empty.crl ca -crldays 30
revoke revoked ca
revoke lost ca
list ca.crl ca -crldays 30
list old.crl ca -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z
list delta.crl ca -crldays 30 -crlexts delta
cp index.before index
cat ca.pem middle.pem >both.pem
cat empty.crl ca.crl middle.crl >all.crl
list forged.crl other-ca -crldays 30
openssl crl -in ca.crl -outform DER -out ca.crl.der
openssl crl -in empty.crl -outform DER -out forged.crl.der
# One byte of the signature, which stands at the end.
size=$(wc -c <forged.crl.der)
printf '\001' | dd of=forged.crl.der bs=1 seek=$((size - 3)) conv=notrunc
mkdir lists no-lists
cp ca.crl.der middle.crl lists
echo hidden >lists/.hidden

# OCSP responses for the server, whose authority is `middle`, and one for another certificate. In its
# books a line is: state, expiry, when revoked, serial number.
books() { # file state revoked
  printf '%s\t491231235959Z\t%s\t%s\tunknown\t/CN=localhost\n' "$2" "$3" \
    "$(openssl x509 -in server.pem -noout -serial | sed 's/.*=//')" >"$1"
}
response() { # file index certificate options...
  file=$1 index=$2 of=$3
  shift 3
  openssl ocsp -index "$index" -CA middle.pem -rsigner middle.pem -rkey middle.key -issuer middle.pem \
    -cert "$of" -noverify -respout "$file" "$@"
}
books good.index V ''
books revoked.index R 260101000000Z
: >nobody.index
response good.ocsp good.index server.pem -ndays 7
openssl ocsp -index good.index -CA middle.pem -rsigner middle.pem -rkey middle.key \
  -issuer middle.pem -sha256 -cert server.pem -noverify -respout sha256.ocsp -ndays 7
response revoked.ocsp revoked.index server.pem -ndays 7
response unknown.ocsp nobody.index server.pem -ndays 7
response endless.ocsp good.index server.pem
openssl ocsp -index nobody.index -CA ca.pem -rsigner ca.pem -rkey ca.key -issuer ca.pem \
  -cert client.pem -noverify -respout foreign.ocsp -ndays 7
printf '0\003\n\001\006' >refusal.ocsp

# What a file can be that is no good.
openssl ec -in server.key -aes128 -passout pass:secret -out encrypted.key
openssl x509 -in server.pem -outform DER -out server.der
openssl x509 -in client.pem -outform DER -out client.der
openssl x509 -in names.pem -outform DER -out names.der
sed 3,5d server.pem >damaged.pem
: >empty.pem
