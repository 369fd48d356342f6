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
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign
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
for_authority='basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n'

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

# What a file can be that is no good.
openssl ec -in server.key -aes128 -passout pass:secret -out encrypted.key
openssl x509 -in server.pem -outform DER -out server.der
openssl x509 -in client.pem -outform DER -out client.der
openssl x509 -in names.pem -outform DER -out names.der
sed 3,5d server.pem >damaged.pem
: >empty.pem
