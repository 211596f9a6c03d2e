"""How mail programs of twelve languages mark history, signatures and disclaimers; written for these tests.

Each history, signature and notice is meant to follow the reply of its language after an empty line.
"""
# ruff: noqa: RUF001  (full-width punctuation is what the programs write)

from collections.abc import Iterator
from typing import NamedTuple

UNDERLINE = "_" * 32
QUOTE = "> Kim\n>\n> 4.900 / 12"


class Mails(NamedTuple):
    """One language: what is said, lines that quote a mail below them, header blocks, separators, closings, notices, device lines."""

    reply: str
    attributions: tuple[str, ...]
    headers: tuple[str, ...]
    separators: tuple[str, ...]
    closings: tuple[str, ...]
    notices: tuple[str, ...]
    devices: tuple[str, ...]


LANGUAGES = {
    "en": Mails(
        "Yes, half past two works.\n\nThanks for the quick quote, I'll bring our buyer.",
        (
            "On Tue, Mar 3, 2026 at 10:12 AM Kim Lee <kim@example.com> wrote:",
            "On 3 Mar 2026, at 10:12, Kim Lee <kim@example.com> wrote:",
            "On 03/03/2026 10:12, Kim Lee wrote:",
            "On Tuesday, March 3, 2026 at 10:12:33 AM GMT+1, Kim Lee <kim@example.com> wrote:",
            'On 3/3/26, 10:12 AM, "Kim Lee" <kim@example.com> wrote:',
            "On Tue, Mar 3, 2026 at 10:12 AM Kim Lee-Featherstonehaugh of Example <\nkim.lee.featherstonehaugh@example.com> wrote:",
            "Kim Lee wrote on 03/03/2026 10:12:11:",
            '"Kim Lee" <kim@example.com> writes:',
        ),
        (
            "From: Kim Lee <kim@example.com>\nSent: Tuesday, March 3, 2026 10:12 AM\nTo: Jo Park <jo@example.com>\nSubject: RE: Thursday",
            "From: Kim Lee <kim@example.com>\nDate: Tuesday, 3 March 2026 at 10:12\nTo: Jo Park <jo@example.com>\nSubject: Re: Thursday",
            "*From:* Kim Lee <kim@example.com>\n*Sent:* 03 March 2026 10:12\n*To:* Jo Park\n*Subject:* Thursday",
            'Sent: Tuesday, March 03, 2026 at 10:12 AM\nFrom: "Kim Lee" <kim@example.com>\nTo: jo@example.com\nSubject: Thursday',
        ),
        (
            "-----Original Message-----",
            "-------- Original message --------",
            "---------- Forwarded message ---------",
            "-------- Forwarded Message --------",
            "Begin forwarded message:",
        ),
        ("Best regards,", "Kind regards", "Many thanks,", "Cheers,", "Yours sincerely,", "Warmest regards,", "Thanks in advance,", "BR,"),
        (
            "This e-mail and any attachments are confidential and intended solely for the addressee.\n"
            "If you are not the intended recipient, please delete it.",
            "CONFIDENTIALITY NOTICE: This message may contain privileged information.",
            "Please consider the environment before printing this e-mail.",
        ),
        (
            "Sent from my iPhone",
            "Sent from Outlook for iOS",
            "Get Outlook for Android",
            "Sent from Mail for Windows",
            "Sent via Samsung Galaxy",
        ),
    ),
    "de": Mails(
        "Ja, halb drei passt.\n\nVielen Dank für das Angebot, ich bringe unseren Einkäufer mit.",
        (
            "Am Di., 3. März 2026 um 10:12 Uhr schrieb Kim Lee <kim@example.com>:",
            "Am 03.03.2026 um 10:12 schrieb Kim Lee <kim@example.com>:",
            "Am 03.03.26 um 10:12 schrieb Kim Lee:",
            "Am Dienstag, 3. März 2026 um 10:12:33 MEZ hat Kim Lee <kim@example.com> Folgendes geschrieben:",
            "Kim Lee <kim@example.com> schrieb am Di., 3. März 2026, 10:12:",
            "Am Di., 3. März 2026 um 10:12 Uhr schrieb Kim Lee-Schmidtbauer <\nkim.lee@example.com>:",
        ),
        (
            "Von: Kim Lee <kim@example.com>\nGesendet: Dienstag, 3. März 2026 10:12\nAn: Jo Park <jo@example.com>\nBetreff: AW: Donnerstag",
            "Von: Kim Lee <kim@example.com>\nDatum: Dienstag, 3. März 2026 um 10:12\nAn: Jo Park <jo@example.com>\nBetreff: Donnerstag",
            'Gesendet: Dienstag, 3. März 2026 um 10:12 Uhr\nVon: "Kim Lee" <kim@example.com>\nAn: jo@example.com\nBetreff: Donnerstag',
        ),
        (
            "-----Ursprüngliche Nachricht-----",
            "-------- Original-Nachricht --------",
            "-------- Ursprüngliche Nachricht --------",
            "---------- Weitergeleitete Nachricht ---------",
            "Anfang der weitergeleiteten Nachricht:",
        ),
        (
            "Mit freundlichen Grüßen",
            "Viele Grüße,",
            "Beste Grüße",
            "Freundliche Grüsse",
            "LG",
            "Herzliche Grüße",
            "Mit freundlichem Gruß",
            "MfG",
            "Gruß",
        ),
        (
            "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind, löschen Sie sie bitte.",
            "Der Inhalt dieser E-Mail ist vertraulich und ausschließlich für den Adressaten bestimmt.",
        ),
        (
            "Von meinem iPhone gesendet",
            "Gesendet von Outlook für iOS",
            "Gesendet von Mail für Windows",
            "Holen Sie sich Outlook für Android",
            "Diese Nachricht wurde von meinem Android Mobiltelefon mit GMX Mail gesendet.",
        ),
    ),
    "es": Mails(
        "Sí, a las dos y media me viene bien.\n\nGracias por el presupuesto, vendré con nuestra compradora.",
        (
            "El mar, 3 mar 2026 a las 10:12, Kim Lee (<kim@example.com>) escribió:",
            "El 3 mar 2026, a las 10:12, Kim Lee <kim@example.com> escribió:",
            "El 3/3/26 a las 10:12, Kim Lee escribió:",
            "El martes, 3 de marzo de 2026, 10:12:33 CET, Kim Lee <kim@example.com> escribió:",
        ),
        (
            "De: Kim Lee <kim@example.com>\nEnviado el: martes, 3 de marzo de 2026 10:12\nPara: Jo Park <jo@example.com>\n"
            "Asunto: RE: jueves",
            "De: Kim Lee <kim@example.com>\nFecha: martes, 3 de marzo de 2026, 10:12\nPara: Jo Park <jo@example.com>\nAsunto: jueves",
            "De: Kim Lee\nEnviado: martes, 3 de marzo de 2026 10:12\nPara: Jo Park\nAsunto: jueves",
        ),
        (
            "-----Mensaje original-----",
            "-------- Mensaje original --------",
            "-------- Mensaje reenviado --------",
            "Inicio del mensaje reenviado:",
        ),
        (
            "Saludos,",
            "Un saludo,",
            "Saludos cordiales",
            "Atentamente,",
            "Un cordial saludo.",
            "Muchas gracias,",
            "Un abrazo,",
            "Quedo a la espera,",
        ),
        (
            "Este mensaje es confidencial y se dirige exclusivamente a su destinatario.",
            "AVISO LEGAL: Este correo electrónico puede contener información confidencial.",
        ),
        ("Enviado desde mi iPhone", "Enviado desde Outlook para iOS", "Obtener Outlook para Android", "Enviado desde Correo para Windows"),
    ),
    "fr": Mails(
        "Oui, 14 h 30 me convient.\n\nMerci pour le devis, je viendrai avec notre acheteuse.",
        (
            "Le mar. 3 mars 2026 à 10:12, Kim Lee <kim@example.com> a écrit :",
            "Le 3 mars 2026 à 10:12, Kim Lee <kim@example.com> a écrit :",
            "Le 03/03/2026 à 10:12, Kim Lee a écrit\u00a0:",
            "Le mardi 3 mars 2026 à 10:12:33 UTC+1, Kim Lee <kim@example.com> a écrit :",
        ),
        (
            "De : Kim Lee <kim@example.com>\nEnvoyé : mardi 3 mars 2026 10:12\nÀ : Jo Park <jo@example.com>\nObjet : RE: jeudi",
            "De\u00a0: Kim Lee <kim@example.com>\nDate\u00a0: mardi, 3 mars 2026 à 10:12\nÀ\u00a0: Jo Park\nObjet\u00a0: jeudi",
            "envoyé : 3 mars 2026 à 10:12\nde : Kim Lee <kim@example.com>\nà : jo@example.com\nobjet : jeudi",
        ),
        (
            "-----Message d'origine-----",
            "-------- Message original --------",
            "-------- Message transféré --------",
            "Début du message réexpédié :",
            "Début du message transféré :",
        ),
        (
            "Cordialement,",
            "Bien cordialement",
            "Bien à vous,",
            "Salutations distinguées",
            "Bonne journée,",
            "Sincères salutations,",
            "Belle journée,",
            "Merci d'avance,",
        ),
        (
            "Ce message est confidentiel et destiné exclusivement à son destinataire.",
            "Ce courriel et ses pièces jointes sont confidentiels.",
        ),
        (
            "Envoyé de mon iPhone",
            "Envoyé depuis mon smartphone Samsung Galaxy.",
            "Télécharger Outlook pour iOS",
            "Envoyé à partir de Courrier pour Windows",
            "Obtenez Outlook pour Android",
        ),
    ),
    "it": Mails(
        "Sì, alle due e mezza va bene.\n\nGrazie per il preventivo, verrò con la nostra responsabile.",
        (
            "Il giorno mar 3 mar 2026 alle ore 10:12 Kim Lee <kim@example.com> ha scritto:",
            "Il giorno 3 mar 2026, alle ore 10:12, Kim Lee <kim@example.com> ha scritto:",
            "Il 03/03/2026 10:12, Kim Lee ha scritto:",
            "Il mar 3 mar 2026, 10:12 Kim Lee <kim@example.com> ha scritto:",
        ),
        (
            "Da: Kim Lee <kim@example.com>\nInviato: martedì 3 marzo 2026 10:12\nA: Jo Park <jo@example.com>\nOggetto: R: giovedì",
            "Da: Kim Lee <kim@example.com>\nData: martedì, 3 marzo 2026 alle ore 10:12\nA: Jo Park\nOggetto: giovedì",
        ),
        (
            "-----Messaggio originale-----",
            "-------- Messaggio originale --------",
            "-------- Messaggio Inoltrato --------",
            "Inizio messaggio inoltrato:",
        ),
        (
            "Cordiali saluti,",
            "Distinti saluti",
            "Un saluto,",
            "A presto,",
            "Saluti",
            "Grazie mille,",
            "Buona giornata,",
            "Un cordiale saluto,",
        ),
        (
            "Questo messaggio è riservato e destinato esclusivamente al destinatario.",
            "Le informazioni contenute in questa e-mail sono riservate.",
        ),
        (
            "Inviato da iPhone",
            "Inviato dal mio iPhone",
            "Inviato da Outlook per iOS",
            "Scarica Outlook per Android",
            "Inviato da Posta per Windows",
        ),
    ),
    "nl": Mails(
        "Ja, half drie is goed.\n\nBedankt voor de offerte, ik neem onze inkoper mee.",
        (
            "Op di 3 mrt 2026 om 10:12 schreef Kim Lee <kim@example.com>:",
            "Op 3 mrt 2026, om 10:12 heeft Kim Lee <kim@example.com> het volgende geschreven:",
            "Op 03-03-2026 om 10:12 schreef Kim Lee:",
            "Op dinsdag 3 maart 2026 om 10:12:33 CET schreef Kim Lee <kim@example.com>:",
        ),
        (
            "Van: Kim Lee <kim@example.com>\nVerzonden: dinsdag 3 maart 2026 10:12\nAan: Jo Park <jo@example.com>\n"
            "Onderwerp: RE: donderdag",
            "Van: Kim Lee <kim@example.com>\nDatum: dinsdag 3 maart 2026 om 10:12\nAan: Jo Park\nOnderwerp: donderdag",
        ),
        (
            "-----Oorspronkelijk bericht-----",
            "-------- Oorspronkelijk bericht --------",
            "-------- Doorgestuurd bericht --------",
            "Begin doorgestuurd bericht:",
        ),
        (
            "Met vriendelijke groet,",
            "Hartelijke groeten",
            "Groetjes,",
            "Mvg,",
            "Vriendelijke groeten,",
            "Alvast bedankt,",
            "Met hartelijke groet,",
            "Groet",
        ),
        (
            "Dit bericht is vertrouwelijk en alleen bestemd voor de geadresseerde.",
            "De informatie in deze e-mail is vertrouwelijk.",
        ),
        (
            "Verstuurd vanaf mijn iPhone",
            "Verzonden vanaf mijn Galaxy",
            "Outlook voor iOS downloaden",
            "Verzonden vanuit Mail voor Windows",
            "Verzonden met Outlook voor Android",
        ),
    ),
    "pl": Mails(
        "Tak, wpół do trzeciej pasuje.\n\nDziękuję za ofertę, przyjdę z naszą kierowniczką.",
        (
            "wt., 3 mar 2026 o 10:12 Kim Lee <kim@example.com> napisał(a):",
            "Wiadomość napisana przez Kim Lee <kim@example.com> w dniu 3 mar 2026, o godz. 10:12:",
            "W dniu 3.03.2026 o 10:12, Kim Lee pisze:",
            "W dniu 2026-03-03 10:12:33 użytkownik Kim Lee <kim@example.com> napisał:",
            "Dnia 3 marca 2026 10:12 Kim Lee <kim@example.com> napisał(a):",
        ),
        (
            "Od: Kim Lee <kim@example.com>\nWysłano: wtorek, 3 marca 2026 10:12\nDo: Jo Park <jo@example.com>\nTemat: RE: czwartek",
            "Od: Kim Lee <kim@example.com>\nData: wtorek, 3 marca 2026 10:12\nDo: Jo Park\nTemat: czwartek",
        ),
        (
            "-----Wiadomość oryginalna-----",
            "-------- Oryginalna wiadomość --------",
            "-------- Treść przekazanej wiadomości --------",
            "Początek przekazywanej wiadomości:",
        ),
        (
            "Pozdrawiam,",
            "Z poważaniem",
            "Pozdrowienia,",
            "Z wyrazami szacunku",
            "Serdecznie pozdrawiam,",
            "Miłego dnia,",
            "Z góry dziękuję,",
        ),
        (
            "Ta wiadomość jest poufna i przeznaczona wyłącznie dla adresata.",
            "Niniejsza wiadomość zawiera informacje poufne.",
        ),
        (
            "Wysłano z iPhone'a",
            "Wysłane z iPhone'a",
            "Wysłane z telefonu Galaxy",
            "Pobierz aplikację Outlook dla systemu iOS",
            "Wysłane z aplikacji Poczta dla systemu Windows",
        ),
    ),
    "pt": Mails(
        "Sim, duas e meia está ótimo.\n\nObrigado pelo orçamento, levo a nossa compradora.",
        (
            "Em ter., 3 de mar. de 2026 às 10:12, Kim Lee <kim@example.com> escreveu:",
            "Em 3 de mar. de 2026, à(s) 10:12, Kim Lee <kim@example.com> escreveu:",
            "Kim Lee <kim@example.com> escreveu (terça, 3/03/2026 à(s) 10:12):",
            "No dia 03/03/2026, às 10:12, Kim Lee <kim@example.com> escreveu:",
            "Em 03/03/2026 10:12, Kim Lee escreveu:",
        ),
        (
            "De: Kim Lee <kim@example.com>\nEnviado: terça-feira, 3 de março de 2026 10:12\nPara: Jo Park <jo@example.com>\n"
            "Assunto: RE: quinta",
            "De: Kim Lee [mailto:kim@example.com]\nEnviada em: terça-feira, 3 de março de 2026 10:12\nPara: Jo Park\nAssunto: quinta",
            "De: Kim Lee <kim@example.com>\nData: terça-feira, 3 de março de 2026 às 10:12\nPara: Jo Park\nAssunto: quinta",
        ),
        (
            "-----Mensagem original-----",
            "-------- Mensagem original --------",
            "-------- Mensagem encaminhada --------",
            "Início da mensagem encaminhada:",
            "Início da mensagem reencaminhada:",
        ),
        (
            "Atenciosamente,",
            "Cumprimentos,",
            "Com os melhores cumprimentos,",
            "Abraços,",
            "Att.,",
            "Obrigada,",
            "Melhores cumprimentos",
            "Um abraço,",
            "Cordialmente,",
        ),
        (
            "Esta mensagem é confidencial e destina-se exclusivamente ao destinatário.",
            "AVISO: Este e-mail pode conter informação confidencial.",
        ),
        (
            "Enviado do meu iPhone",
            "Enviado do Outlook para iOS",
            "Obter o Outlook para Android",
            "Baixar o Outlook para iOS",
            "Enviado do Email para o Windows",
        ),
    ),
    "sv": Mails(
        "Ja, halv tre går bra.\n\nTack för offerten, jag tar med vår inköpare.",
        (
            "Den tis 3 mars 2026 kl 10:12 skrev Kim Lee <kim@example.com>:",
            "3 mars 2026 kl. 10:12 skrev Kim Lee <kim@example.com>:",
            "Den 2026-03-03 kl. 10:12, skrev Kim Lee:",
            "tis 3 mars 2026 kl. 10:12 skrev Kim Lee <kim@example.com>:",
        ),
        (
            "Från: Kim Lee <kim@example.com>\nSkickat: den 3 mars 2026 10:12\nTill: Jo Park <jo@example.com>\nÄmne: SV: torsdag",
            "Från: Kim Lee <kim@example.com>\nDatum: tisdag, 3 mars 2026 10:12\nTill: Jo Park\nÄmne: torsdag",
        ),
        (
            "-----Ursprungligt meddelande-----",
            "-------- Originalmeddelande --------",
            "-------- Vidarebefordrat meddelande --------",
            "Vidarebefordrat brev:",
        ),
        (
            "Med vänliga hälsningar,",
            "Vänligen,",
            "Mvh",
            "Hälsningar,",
            "Bästa hälsningar",
            "Vänliga hälsningar",
            "Tack på förhand,",
            "Med vänlig hälsning",
        ),
        (
            "Detta meddelande är konfidentiellt och endast avsett för mottagaren.",
            "Detta e-postmeddelande kan innehålla sekretessbelagd information.",
        ),
        (
            "Skickat från min iPhone",
            "Skickat från Outlook för iOS",
            "Hämta Outlook för Android",
            "Skickades från E-post för Windows",
            "Skaffa Outlook för iOS",
        ),
    ),
    "da": Mails(
        "Ja, halv tre passer fint.\n\nTak for tilbuddet, jeg tager vores indkøber med.",
        (
            "Den tirs. 3. mar. 2026 kl. 10.12 skrev Kim Lee <kim@example.com>:",
            "Den 3. mar. 2026 kl. 10.12 skrev Kim Lee <kim@example.com>:",
            "Den 03.03.2026 kl. 10.12 skrev Kim Lee:",
            "tirs. 3. mar. 2026 10.12 skrev Kim Lee <kim@example.com>:",
        ),
        (
            "Fra: Kim Lee <kim@example.com>\nSendt: 3. marts 2026 10:12\nTil: Jo Park <jo@example.com>\nEmne: SV: torsdag",
            "Fra: Kim Lee <kim@example.com>\nDato: tirsdag den 3. marts 2026 kl. 10.12\nTil: Jo Park\nEmne: torsdag",
        ),
        (
            "-----Oprindelig meddelelse-----",
            "-------- Oprindelig besked --------",
            "-------- Videresendt meddelelse --------",
            "Start på videresendt besked:",
        ),
        (
            "Med venlig hilsen",
            "Venlig hilsen,",
            "Mvh.",
            "Bedste hilsner",
            "Hilsen,",
            "Mange hilsner,",
            "De bedste hilsner,",
            "På forhånd tak,",
        ),
        (
            "Denne e-mail er fortrolig og kun tiltænkt modtageren.",
            "Denne meddelelse kan indeholde fortrolige oplysninger.",
        ),
        (
            "Sendt fra min iPhone",
            "Sendt fra Outlook til iOS",
            "Hent Outlook til Android",
            "Sendt fra Mail til Windows",
            "Få Outlook til iOS",
        ),
    ),
    "ja": Mails(
        "お世話になっております。\n\n木曜日の14時半で問題ございません。見積書をありがとうございました。",
        (
            "2026年3月3日(火) 10:12 Kim Lee <kim@example.com>:",
            "2026/03/03 10:12、Kim Lee <kim@example.com>のメール:",
            "2026/03/03 午前10:12、リー・キム <kim@example.com>のメール：",
            "2026年3月3日(火) 10:12 リー・キム <kim@example.com>:",
            "On 2026/03/03 10:12, Kim Lee wrote:",
            "On Tue, 3 Mar 2026 10:12:33 +0900\nKim Lee <kim@example.com> wrote:",
        ),
        (
            "差出人: Kim Lee <kim@example.com>\n送信日時: 2026年3月3日 10:12\n宛先: Jo Park <jo@example.com>\n件名: Re: 木曜日",
            "差出人： Kim Lee <kim@example.com>\n日付： 2026年3月3日 火曜日 10:12\n宛先： Jo Park\n件名： 木曜日",
            "From: Kim Lee <kim@example.com>\nSent: Tuesday, March 3, 2026 10:12 AM\nTo: 朴 様\nSubject: 木曜日",
        ),
        (
            "-----元のメッセージ-----",
            "-------- 元のメッセージ --------",
            "-------- 転送メッセージ --------",
            "-----Original Message-----",
            "転送されたメッセージ:",
        ),
        (
            "よろしくお願いいたします。",
            "以上、よろしくお願いいたします。",
            "敬具",
            "何卒よろしくお願いいたします。",
            "どうぞよろしくお願いいたします。",
            "よろしくお願い申し上げます。",
            "引き続きよろしくお願いいたします。",
        ),
        ("このメールには機密情報が含まれている場合があります。", "本メールは機密情報を含みます。誤って受信された場合は削除してください。"),
        ("iPhoneから送信", "私のiPhoneから送信", "Galaxyから送信", "Outlook for iOS を入手", "Windows 版のメールから送信"),
    ),
    "zh": Mails(
        "可以，星期四两点半没问题。\n\n谢谢您的报价，我会带采购同事一起来。",
        (
            "Kim Lee <kim@example.com> 于2026年3月3日周二 10:12写道：",
            "Kim Lee <kim@example.com> 於 2026年3月3日 週二 上午10:12寫道：",
            "在 2026年3月3日，10:12，Kim Lee <kim@example.com> 写道：",
            '在 2026-03-03 10:12:33，"Kim Lee" <kim@example.com> 写道：',
            "在 2026/3/3 10:12, Kim Lee 写道:",
            'At 2026-03-03 10:12:33, "Kim Lee" <kim@example.com> wrote:',
        ),
        (
            "发件人: Kim Lee <kim@example.com>\n发送时间: 2026年3月3日 10:12\n收件人: Jo Park <jo@example.com>\n主题: 答复: 周四",
            "发件人： Kim Lee\n发送时间： 2026-03-03 10:12\n收件人： jo\n主题： Re: 周四",
            "寄件者: Kim Lee <kim@example.com>\n寄件日期: 2026年3月3日 上午 10:12\n收件者: Jo Park\n主旨: RE: 週四",
        ),
        (
            "------------------ 原始邮件 ------------------",
            "------------------\u00a0原始邮件\u00a0------------------",
            "-----邮件原件-----",
            "-----原始郵件-----",
            "-------- 转发的消息 --------",
            "---------- 转发邮件信息 ----------",
            "开始转发的邮件：",
            "---- 回复的原邮件 ----",
        ),
        ("此致", "谢谢", "祝好！", "顺祝商祺！", "祝商祺", "敬礼", "謝謝", "祝您工作愉快！"),
        ("本邮件含有保密信息，仅供指定收件人使用。", "免责声明：此邮件及其附件属于机密内容。"),
        ("发自我的 iPhone", "发自我的iPhone", "從我的 iPhone 傳送", "获取 Outlook for iOS", "从 Windows 版邮件发送"),
    ),
}


def mails() -> Iterator[tuple[str, str, str]]:
    """(language, what is said, the whole mail), for every way of writing it."""
    for language, known in LANGUAGES.items():
        for after in _afters(known):
            yield language, known.reply, f"{known.reply}\n\n{after}\n"


def _afters(known: Mails) -> Iterator[str]:
    for line in known.attributions:
        yield f"{line}\n\n{QUOTE}"
        yield f"{line}\n\nKim: 4.900 / 12"
    for block in known.headers:
        yield f"{block}\n\nKim: 4.900 / 12"
        yield f"{UNDERLINE}\n{block}\n\nKim: 4.900 / 12"
    for line in known.separators:
        yield f"{line}\n{known.headers[0]}\n\nKim: 4.900 / 12"
        yield f"{line}\n\nKim: 4.900 / 12"
    for line in known.closings:
        yield f"{line}\nJo Park"
        yield f"{line}\n\nJo Park\nMill & Sons\n+44 20 5550 0100\n\n{known.notices[0]}\n\n{known.attributions[0]}\n{QUOTE}"
    for line in (*known.notices, *known.devices):
        yield line
        yield f"{line}\n\n{known.headers[0]}\n\nKim: 4.900 / 12"
